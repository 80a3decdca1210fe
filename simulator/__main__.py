"""`python -m simulator`: runs the simulator in its own process.

Prints one line, `simulator listening on http://HOST:PORT/v1`, once it listens. SIGTERM or Ctrl-C stops it.
"""

import argparse
import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path

from simulator.app import serve
from simulator.settings import VENDOR_PRICES, Habits, Settings, parse_speed


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve."""
    options = _parser().parse_args(arguments)
    if any(importlib.util.find_spec(name) is None for name in ("av", "PIL")):
        print("simulator: clips need PyAV and Pillow: pip install 'onetake[sim]'", file=sys.stderr)
        return 2
    asyncio.run(_run(options))
    return 0


def settings_from(options: argparse.Namespace) -> Settings:
    """Build the settings from the command line options."""
    defaults = Settings()
    return Settings(
        vendor_microusd_per_second=VENDOR_PRICES,
        seed=options.seed,
        fault_rates=dict(options.fault_rate),
        hang_seconds=options.hang_seconds,
        speed=options.speed,
        render_seconds=options.render_seconds,
        expires_after_seconds=options.expires_after_seconds,
        refund_failed=options.refund_failed,
        api_keys=frozenset(options.api_key) or None,
        habits=Habits(
            sparse=options.sparse,
            null_prompts=options.null_prompts,
            no_list_status=options.no_list,
            json_only=options.json_only,
            unknown_models=options.unknown_models,
        ),
        models=defaults.models,
        tiny_clips=options.tiny_clips,
        clip_folder=options.clips,
        books_path=options.books,
        telegram_tokens=frozenset(options.telegram_token) or None,
        telegram_limits=options.telegram_limits,
        postgrest=options.postgrest,
        supabase_keys=dict(options.supabase_key),
    )


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin, _watch_stdin, stop)
    async with serve(options.host, options.port, settings_from(options)) as running:
        if options.port_file is not None:
            _write_port(options.port_file, running.port)
        print(f"simulator listening on {running.base_url}", flush=True)
        await stop.wait()


def _watch_stdin(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        stop.set()


def _write_port(path: Path, port: int) -> None:
    # Renamed into place, so that a process waiting for the file never reads half a number.
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    fresh.write_text(f"{port}\n")
    fresh.replace(path)


def _rate(text: str) -> tuple[str, float]:
    target, _, rate = text.partition("=")
    return target, float(rate)


def _key(text: str) -> tuple[str, str]:
    key, _, jwt = text.partition("=")
    return key, jwt or key


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 takes a free port")
    add("--port-file", type=Path, help="write the port here once listening")
    add("--seed", type=int, help="seed of the drawn faults")
    add("--fault-rate", type=_rate, action="append", default=[], metavar="TARGET=P", help="e.g. create=0.2")
    add("--hang-seconds", type=float, default=120.0)
    add("--speed", type=parse_speed, default=1.0, help="a number, or 'instant'")
    add("--render-seconds", type=float, default=40.0, help="length of a render at speed 1")
    add("--expires-after-seconds", type=float, default=3600.0)
    add("--refund-failed", action="store_true", help="failed renders are not charged")
    add("--api-key", action="append", default=[], help="accept only these keys")
    add("--sparse", action="store_true", help="answers hold only id, status and created_at")
    add("--null-prompts", action="store_true", help="prompts are shown as null")
    add("--no-list", type=int, nargs="?", const=400, metavar="STATUS", help="listing is refused")
    add("--json-only", action="store_true", help="multipart bodies are refused")
    add("--unknown-models", action="store_true", help="accept any model name")
    add("--tiny-clips", action="store_true", help="one small clip for every prompt")
    add("--clips", type=Path, help="folder for rendered clips")
    add("--books", type=Path, help="keep the books in this file across restarts")
    add("--telegram-token", action="append", default=[], help="accept only bots with these tokens")
    add("--telegram-limits", action="store_true", help="enforce Telegram's flood control")
    add("--postgrest", metavar="URL", help="the PostgREST behind /rest/v1")
    add(
        "--supabase-key",
        type=_key,
        action="append",
        default=[],
        metavar="KEY=JWT",
        help="accept this key with that role",
    )
    add("--until-stdin-closes", action="store_true", help="exit when the parent exits")
    return parser


if __name__ == "__main__":
    sys.exit(main())
