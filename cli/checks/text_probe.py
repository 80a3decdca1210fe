"""`onetake check --provider`: does the text model answer as it should? A key that is set does not prove it.

In       the text endpoint
Out      findings; `announcement` states the cost beforehand
Effects  asks the text model to judge one harmless prompt
"""

from app.exits import run_async
from app.model_choice import choose_from_settings
from cli.checks.diagnostics import Finding, Health
from pipeline.formatting import usd
from pipeline.settings.config import Settings
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import CatalogueError, text_cost_microusd
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import Asked, TextModelError, open_text_model
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore
from steps.validate_prompt import Brief, Rejected, Verdict, validate_prompt

ABOUT = "text model"
PROMPT, LANGUAGE, SECONDS = "a paper boat on a river in the rain", "en", 8


def announcement(settings: Settings) -> str | None:
    """The message before the probe; None if no text model is set, which `examine` reports."""
    try:
        text = settings.text
    except ConfigError:
        return None
    return f"asking {text.model} at {text.base_url} to judge one prompt, which costs a fraction of a cent"


def probe_text(settings: Settings) -> list[Finding]:
    """The findings; empty if the settings or the template cannot be used, which `examine` reports."""
    try:
        catalogue, _ = choose_from_settings(settings)
        model = settings.text.model
        verdict, asked = run_async(_ask(settings))
    except (ConfigError, CatalogueError, TemplateError):
        return []
    except TextModelError as error:
        return [Finding(ABOUT, Health.BAD, f"{error}; no prompt can be checked, so nothing can be ordered")]
    cost = usd(text_cost_microusd(catalogue, model, asked.tokens_in, asked.tokens_out))
    if isinstance(verdict, Rejected):
        words = f"answers, but refuses the harmless prompt “{PROMPT}”: {verdict.explanation} ({cost})"
        return [Finding(ABOUT, Health.NOTE, words)]
    if asked.asks > 1:
        words = f"answers correctly, but only on attempt {asked.asks} ({cost})"
        return [Finding(ABOUT, Health.NOTE, words)]
    return [Finding(ABOUT, Health.GOOD, f"answers correctly ({cost})")]


async def _ask(settings: Settings) -> tuple[Brief | Rejected, Asked[Verdict]]:
    text = settings.text
    template = PromptStore(settings.prompts, contracts=CONTRACTS).get("validate_prompt")
    async with open_text_model(text.base_url, text.api_key, text.timeout_seconds) as client:
        return await validate_prompt(PROMPT, LANGUAGE, SECONDS, template, client, text.model)
