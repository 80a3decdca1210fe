"""`onetake create`: one request, one video."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from app.exits import Exit, Terminated, explain, foreseen, leave, run_async
from steps.languages import CODES


def create(
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="What the video should show; - reads it from stdin.", show_default=False),
    ],
    seconds: Annotated[int | None, typer.Option(min=1, help="Length; the model determines which are allowed.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Such as 720x1280.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="One of `onetake models`, such as runway/gen4.5; by default VIDEO_MODEL."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The same key always means the same run.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose limits apply; by default yours.")] = None,
    lang: Annotated[str | None, typer.Option(metavar="|".join(CODES), help="Language of title and caption.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Buy another take of the same prompt, on purpose.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen; hold and buy nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Buy one video, and watch its progress.

    Exit codes: 0 saved, 1 ended without a video, 2 wrong usage or settings,
    3 refused, 4 in doubt, 130 Ctrl-C.
    """
    try:
        from cli.request_parsing import CreateOptions, to_request
        from pipeline.settings.config import load_settings

        settings = load_settings()
        if prompt == "-":
            prompt = sys.stdin.read()
        request = to_request(CreateOptions(prompt, seconds, size, key, user, lang, again, model), settings, os.environ)
        with _starting() as ready:
            if dry_run:
                from cli.dry_run import rehearse

                raise typer.Exit(run_async(rehearse(request, settings, ready, as_json=as_json)))
            from cli.creation import CreateSession

            session = CreateSession(request, settings, ready, as_json=as_json)
            try:
                code = run_async(session.create())
            except KeyboardInterrupt:
                code = session.left(Exit.CTRL_C)
            except Terminated:
                code = session.left(Exit.TERMINATED)
    except foreseen() as error:
        _leave(error, as_json)
    raise typer.Exit(code)


@contextmanager
def _starting() -> Iterator[Callable[[], None]]:
    """Shows a spinner while libraries load and the database starts; the yielded function stops it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with console.status("starting") as status:
        yield status.stop


def _leave(error: BaseException, as_json: bool) -> NoReturn:
    """Exits with the error's message. With --json, prints an object as well, whatever went wrong."""
    if as_json:
        from cli.output.outcome import Outcome

        typer.echo(json.dumps(Outcome(error=explain(error)[0]).as_object(), ensure_ascii=False))
    leave(error)
