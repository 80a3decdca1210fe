"""Which step uses which template, for code that checks a template without running its step."""

from collections.abc import Mapping

from steps import validate_prompt, write_caption
from steps.text_model.templates import Contract

CONTRACTS: Mapping[str, Contract] = {each.id: each for each in (validate_prompt.CONTRACT, write_caption.CONTRACT)}
