"""A lease in the ledger that lets one machine work, where each machine has a queue of its own.

In       `rpc(name, args) -> json`, and this machine's name, kept in ONETAKE_HOME
Out      HostLease: `take` it before work begins, `hold` it while work goes on
Raises   HostTaken: another machine has it
Effects  the one row of `onetake.hosts`. Losing the lease stops the work; double purchases are prevented by the fence.
"""

import asyncio
import fcntl
import logging
import os
import secrets
import socket
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path

from pipeline.cancellation import stop
from pipeline.ledger.transports.common import LedgerCall, LedgerError
from pipeline.settings.setting_checks import ConfigError

LEASE_SECONDS = 20.0
log = logging.getLogger(__name__)


class HostTaken(ConfigError):
    """Another machine works on this ledger, and only one may."""


class HostLease:
    def __init__(self, rpc: LedgerCall, host: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self._rpc, self._host, self._lease_seconds = rpc, host, lease_seconds

    async def take(self) -> None:
        """Takes or renews the lease. Raises HostTaken."""
        answer = await self._rpc("take_host", {"host": self._host, "seconds": self._lease_seconds})
        assert isinstance(answer, dict), "take_host answers an object"
        if not answer["mine"]:
            until = datetime.fromisoformat(answer["until"])
            other, seconds = answer["host"].partition(" ")[0], self._lease_seconds
            raise HostTaken(
                f"{other} works on this ledger (until {until:%H:%M:%S} UTC, if it stops now), and without DATABASE_URL "
                "only one machine may; nothing was bought here. Stop the other one and try again "
                f"in {seconds:.0f} s, or set DATABASE_URL on both"
            )

    async def hold(self, work: Coroutine[object, object, None]) -> None:
        """Runs the work while the lease is ours. Raises HostTaken once it is lost."""
        working, keeping = asyncio.ensure_future(work), asyncio.ensure_future(self._keep())
        try:
            done, _ = await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop(keeping)
            await stop(working)
        for task in done:
            task.result()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 4)
            try:
                await self.take()
            except LedgerError as error:  # it may be short, and nothing can be bought meanwhile
                log.warning("host", extra={"action": "lease_not_prolonged", "error": str(error)})


def host_name(home: Path) -> str:
    """'<host> <random hex>': this data folder's own name, made at the first start."""
    kept = home / "host"
    home.mkdir(parents=True, exist_ok=True)
    with kept.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two processes may start at once
        file.seek(0)
        if not (name := file.read().strip()):  # new, or a power cut came before it was written
            name = f"{socket.gethostname()} {secrets.token_hex(8)}"
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        return name
