"""Long-running processes: the worker, the bot, and the simulator."""

from typing import Annotated

import typer

from app.exits import Stop, run_async


def worker() -> None:
    """Process queued runs. Start as many as you like.

    SIGTERM or Ctrl-C stops it gracefully: it waits for in-flight purchases.
    A second signal stops it at once.
    """
    from cli.commands.run_worker import work
    from pipeline.settings.config import load_settings

    run_async(work(load_settings()))


def bot(
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", help="Also process runs; not needed if `onetake worker` is running."),
    ] = True,
) -> None:
    """The Telegram bot. Without TELEGRAM_BOT_TOKEN: the real bot in your browser, with everything outside simulated.

    SIGTERM or Ctrl-C stops it gracefully: it accepts no more messages and waits for in-flight purchases.
    A second signal stops it at once.
    """
    from cli.commands.run_bot import serve
    from pipeline.settings.config import load_settings

    run_async(serve(load_settings(), worker=worker))


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 8090,
    speed: Annotated[str, typer.Option(help="How much faster than real time: a number, or `instant`.")] = "1",
    seed: Annotated[int | None, typer.Option(help="Injects random faults, drawn from this seed.")] = None,
) -> None:
    """A simulated provider and text model that count what they sell. Costs nothing."""
    from cli.commands.simulation import missing_parts, serve_until_stopped

    if missing := missing_parts():
        raise Stop(f"the simulator needs {missing}: pip install 'onetake[sim]'")
    run_async(serve_until_stopped(port, speed, seed))
