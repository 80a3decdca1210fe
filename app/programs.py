"""Run our own programs as child processes: the simulator, the worker, the bot. They are terminated on exit."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.exits import Exit, Stop

LOOK_SECONDS = 0.1
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0


@asynccontextmanager
async def program(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `python -m module arguments` with its output in a log."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # we pass on Ctrl-C ourselves, in our own order
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def simulator(folder: Path, options: Sequence[str], port: int = 0) -> AsyncIterator[str]:
    """Runs the simulator as a process, with its books in the folder. Yields its root address."""
    port_file = _fresh(folder / "simulator.port")
    command = ["--port", str(port), "--port-file", str(port_file), "--until-stdin-closes"]
    command += ["--books", str(folder / "books.jsonl"), "--clips", str(folder / "clips"), *options]
    log = folder / "simulator.log"
    async with program("simulator", command, os.environ, log) as process:
        for _ in range(int(START_SECONDS_MAX / LOOK_SECONDS)):
            if port_file.exists():
                break
            if process.returncode is not None:
                raise Stop(f"the simulator did not start; see {log}", Exit.ENDED_OTHERWISE)
            await asyncio.sleep(LOOK_SECONDS)
        else:
            raise Stop(f"the simulator did not start within {START_SECONDS_MAX:.0f} s; see {log}", Exit.ENDED_OTHERWISE)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"


def _fresh(path: Path) -> Path:
    """Creates the folder and removes an old file, so that the path is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path
