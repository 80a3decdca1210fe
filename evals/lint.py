"""`onetake prompts lint`: all problems in the templates at once, with line and fix. Only reads files.

In       the folder of prompts
Out      Problems: file, line, rule, message, and fix; and the price of a call
Effects  none

The bot rejects most of these errors too, but reports only the first one. Errors that only the bot finds are reported as
the rule `load`.
"""

from collections.abc import Iterable
from pathlib import Path

from evals.cases import misfits, read_cases
from evals.linting import body, front
from evals.linting.draft import Draft, Problem, near
from evals.linting.voice import brand_problems
from evals.workbench import Bench
from steps.contracts import CONTRACTS
from steps.text_model.brand import BRAND_FILE, Brand
from steps.text_model.front_matter import TemplateError
from steps.text_model.templates import Contract, load_template

RULES = (*front.RULES, *body.RULES)


def lint(bench: Bench, text_models: Iterable[str] = ()) -> list[Problem]:
    """All problems in a folder, in the order of files and lines."""
    brand, found = brand_problems(bench.prompts / BRAND_FILE)
    for template_id, contract in CONTRACTS.items():
        path = bench.prompts / f"{template_id}.md"
        found += _file(path, contract, brand, frozenset(text_models))
    found += _cases(bench)
    for path in sorted(bench.prompts.glob("*.md")):
        if path.stem not in CONTRACTS and path.name not in {BRAND_FILE, "README.md"}:
            hint = near(path.stem, CONTRACTS)
            found.append(Problem(path.name, 1, "unknown-file", f"no step uses it{hint}; rename it or remove it", False))
    return sorted(set(found), key=lambda each: (each.file, each.line, each.rule, each.words))


def _file(path: Path, contract: Contract, brand: Brand, text_models: frozenset[str]) -> list[Problem]:
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        return [Problem(path.name, 1, "encoding", f"cannot be read as UTF-8 ({error}); save it as UTF-8")]
    draft = Draft(path.name, text, contract, brand, text_models)
    found = [problem for rule in RULES for problem in rule(draft)]
    if not any(problem.error for problem in found):
        try:
            load_template(path, contract)
        except TemplateError as error:
            found.append(draft.problem(1, "load", str(error)))
    return found


def _cases(bench: Bench) -> list[Problem]:
    cases, mistakes = read_cases(bench.prompts / "cases")
    for template_id in CONTRACTS:
        try:
            template = bench.template(template_id)
        except TemplateError:
            continue  # already reported
        of_it = [case for case in cases if case.template == template_id]
        mistakes += [mistake for case in of_it for mistake in misfits(case, template)]
    return [Problem(f"cases/{each.file}", each.line, "case", f"{each.words}; fix this case") for each in mistakes]
