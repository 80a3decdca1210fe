"""Which step uses which template, for whoever checks one without running the step."""

from collections.abc import Mapping

from steps import validate_prompt, write_caption
from steps.text_model.templates import Contract

CONTRACTS: Mapping[str, Contract] = {each.id: each for each in (validate_prompt.CONTRACT, write_caption.CONTRACT)}
