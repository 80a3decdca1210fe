"""Prints the price of a call of each template: estimated tokens at the prices of models.toml."""

import typer

from evals.workbench import Bench
from providers.catalogue import Catalogue, text_cost_microusd
from steps.contracts import CONTRACTS
from steps.text_model.front_matter import TemplateError

CHARACTERS_PER_TOKEN = 4
SCHEMA_TOKENS = 150  # sent with every question: the schema of the answer
TOKENS_OUT = 220  # typical for recorded answers
DEFAULT_MODEL = "gpt-6-luna"


def print_prices(bench: Bench, books: Catalogue) -> None:
    """Print one line for each usable template."""
    for template_id in CONTRACTS:
        try:
            template = bench.template(template_id)
        except TemplateError:
            continue
        examples = {name: spec.example for name, spec in template.inputs.items()}
        tokens = sum(len(each["content"]) for each in template.render(**examples)) // CHARACTERS_PER_TOKEN
        model = template.model or DEFAULT_MODEL
        cost = text_cost_microusd(books, model, tokens + SCHEMA_TOKENS, TOKENS_OUT)
        known = any(text.name == model for text in books.texts)
        a_call = f"${cost / 1e6:.5f} a call at {model}"
        typer.echo(
            f"{template_id}: about {tokens} tokens and {SCHEMA_TOKENS} for the answer's shape, "
            + (a_call if known else f"booked as {a_call}, the highest price in models.toml, which does not list it")
        )
