"""The verbs of `onetake prompts`. Each imports heavy modules inside its function."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.exits import Exit, Stop, run_async

if TYPE_CHECKING:
    from evals.workbench import Bench

TemplateName = Annotated[
    str, typer.Argument(metavar="TEMPLATE", help="validate_prompt or write_caption.", show_default=False)
]
CaseName = Annotated[str | None, typer.Option("--case", metavar="CASE", help="A case in prompts/cases.")]

prompts = typer.Typer(
    no_args_is_help=True,
    help="Edit prompts, see what they do, prove it. Offline unless --live; cannot buy a video.",
)


@prompts.command()
def lint(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Find every mistake in templates, brand and cases.

    Prints file, line and fix, and what a call costs. Exit code 1 if there is an error.
    """
    from dataclasses import asdict

    from cli.output.pages import print_lines
    from evals.lint import lint as check
    from evals.prices import print_prices
    from evals.workbench import catalogue, open_bench

    bench, books = open_bench(), catalogue()
    problems = check(bench, [text.name for text in books.texts])
    errors = sum(problem.error for problem in problems)
    if as_json:
        print_lines([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            typer.echo(str(problem))
        print_prices(bench, books)
        counts = ((errors, "error"), (len(problems) - errors, "warning"))
        many = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
        typer.echo(many if problems else "nothing wrong")
    raise typer.Exit(Exit.ENDED_OTHERWISE if errors else Exit.DONE)


@prompts.command()
def show(
    template: TemplateName,
    case: CaseName = None,
    diff: Annotated[
        str | None, typer.Option(metavar="REV", help="Show what changed since this commit, word by word.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Also print the JSON schema of the answer.")] = False,
) -> None:
    """Print the messages that are sent to the model.

    For a case or, without one, for the inputs' examples. With --diff, word by word against a commit.
    """
    import json

    from evals.cases import find_case, load_cases
    from evals.pages import print_messages, print_messages_diff
    from evals.workbench import known, open_bench
    from steps.contracts import CONTRACTS

    bench, name = open_bench(), known(template)
    now = bench.template(name)
    given = {key: spec.example for key, spec in now.inputs.items()}
    if case:
        found = find_case(load_cases(bench.prompts / "cases"), case)
        if found.template != name:
            raise Stop(f"the case {case} belongs to {found.template}")
        given = dict(found.input)
    if diff:
        before = bench.template_at(name, diff)
        print_messages_diff(before.render(**{key: given.get(key) for key in before.inputs}), now.render(**given))
    else:
        print_messages(now.render(**given), now.versions)
    if schema:
        typer.echo(json.dumps(CONTRACTS[name].output.model_json_schema(), indent=1))


@prompts.command("try")
def try_(
    template: TemplateName,
    case: CaseName = None,
    given: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="Your own input; needs --live.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the model at OPENAI_BASE_URL, and print the cost.")] = False,
) -> None:
    """Show one answer, with its cost.

    From the recording, without a call; with --live, from the model at OPENAI_BASE_URL: OpenAI's with OPENAI_API_KEY,
    or your own server, which needs no key.
    """
    from evals.trying import try_case

    raise typer.Exit(try_case(template, case, given or [], live=live))


@prompts.command("eval")
def eval_(
    against: Annotated[str, typer.Option(metavar="REV", help="The commit of the column `before`.")] = "HEAD",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    by_case: Annotated[bool, typer.Option("--cases", help="One line per case.")] = False,
) -> None:
    """Check the recorded answers against the expectations.

    Offline. Exit code 1 if an answer is wrong, or if a recording is stale or missing, including those of tests/.
    Answers of the simulator never count as wrong. The operators' page shows the last table: evals.json in ONETAKE_HOME.
    """
    import json

    from evals.evaluate import evaluate, evaluate_at, keep_for_the_page, passes
    from evals.pages import print_cases, print_report, report_object
    from evals.staleness import survey
    from evals.workbench import open_bench

    bench = open_bench()
    found = survey(bench)
    now = evaluate(bench, found)
    try:
        before = evaluate_at(bench, found, against)
    except Stop:
        if against != "HEAD":
            raise
        before = None  # no git here: nothing to compare with
    report = report_object(found, now, before)
    keep_for_the_page(report)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    elif by_case:
        print_cases(now)
    else:
        print_report(found, now, before, against)
    raise typer.Exit(Exit.DONE if passes(now, found) else Exit.ENDED_OTHERWISE)


@prompts.command()
def diff(
    revision: Annotated[str, typer.Argument(metavar="[REV]", help="The commit to compare with.")] = "HEAD",
) -> None:
    """Show what changed since a commit, answer by answer.

    Verdicts that changed, captions side by side; from the recordings of both.
    """
    from evals.evaluate import evaluate, evaluate_at
    from evals.pages import print_diff
    from evals.staleness import survey
    from evals.workbench import open_bench

    bench = open_bench()
    found = survey(bench)
    print_diff(evaluate(bench, found), evaluate_at(bench, found, revision), revision)
    if words := found.words():
        typer.echo(words)


@prompts.command()
def record(
    stale: Annotated[bool, typer.Option("--stale", help="Only what an edit made stale.")] = False,
    live: Annotated[bool, typer.Option("--live", help="At OPENAI_BASE_URL, after you type the price.")] = False,
) -> None:
    """Record answers again, after showing the price.

    At the simulator, which costs nothing, or with --live at OPENAI_BASE_URL. Recordings of tests/ always use the
    simulator.
    """
    from evals.recording import record as work
    from evals.workbench import open_bench

    raise typer.Exit(work(open_bench(), stale=stale, live=live))


@prompts.command()
def impact(
    days: Annotated[float, typer.Option(min=0, help="How far back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show how the runs of each prompt version ended.

    From the ledger: videos, rejections, cost, answers asked for again.
    """
    from dataclasses import asdict

    from app.ledger_session import open_ledger
    from cli.output.pages import print_lines
    from evals.pages import print_impact
    from evals.workbench import open_bench
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            lines = await session.operators.impact(days)
        now = _in_use(open_bench())
        if as_json:
            print_lines([asdict(line) for line in lines])
        else:
            print_impact(lines, days, now)

    run_async(work())


def _in_use(bench: "Bench") -> dict[str, str]:
    """The versions of the templates in the folder. A broken template is reported and left out."""
    from steps.contracts import CONTRACTS
    from steps.text_model.front_matter import TemplateError

    now: dict[str, str] = {}
    for template_id in CONTRACTS:
        try:
            now |= bench.template(template_id).versions
        except TemplateError as error:
            typer.echo(f"onetake: {error}; a running bot keeps the previous version", err=True)
    return now
