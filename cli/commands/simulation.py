"""`onetake simulate`: the simulator in this process, until it is stopped."""

import asyncio
import importlib.util
import signal

import typer

from app.exits import Stop

PARTS = {"av": "PyAV", "PIL": "Pillow", "aiohttp": "aiohttp"}
DRAWN_FAULTS = 0.2  # share of create requests with a fault, if a seed is given


def missing_parts() -> str:
    """The packages of the `sim` extra that are not installed, as text; empty if all are."""
    return " and ".join(words for name, words in PARTS.items() if importlib.util.find_spec(name) is None)


async def serve_until_stopped(port: int, speed: str, seed: int | None) -> None:
    from simulator.app import serve
    from simulator.settings import Settings, parse_speed

    try:
        pace = parse_speed(speed)
    except ValueError:
        raise Stop(f"--speed: must be a positive number or `instant`, not {speed}") from None
    rates = {"create": DRAWN_FAULTS} if seed is not None else {}
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with serve("127.0.0.1", port, Settings(seed=seed, fault_rates=rates, speed=pace)) as running:
            typer.echo(f"simulator listening on {running.base_url}")
            typer.echo("in another terminal:")
            # Overrides `.env`, so that neither the real provider nor the real ledger and its budgets are used.
            url, mine = running.base_url, "ONETAKE_IGNORE_ENV_FILE=1 ONETAKE_HOME=~/.onetake-sim DATABASE_URL="
            typer.echo(f"  export {mine} OPENAI_BASE_URL={url} OPENAI_API_KEY=sim \\")
            typer.echo(f"    VIDEO_BASE_URL={url} VIDEO_API_KEY=sim VIDEO_MODEL=sim-1 VIDEO_USD_PER_SECOND=")
            typer.echo('  .venv/bin/onetake create "a paper boat in the rain"')
            await stop.wait()
    except OSError as error:
        raise Stop(f"--port: cannot listen on {port} ({error.strerror or error})") from error
