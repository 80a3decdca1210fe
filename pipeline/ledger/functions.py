"""The base of the classes that call the ledger's SQL functions: Python values in, frozen values out.

In       `rpc(name, args) -> json`, one of the transports; arguments are named as in the SQL, without their `p_`
Raises   what the transport raises; pydantic.ValidationError if an answer does not fit this program
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from pipeline.ledger.transports.common import Json, LedgerCall

Value = TypeVar("Value")


class LedgerFunctions:
    def __init__(self, rpc: LedgerCall) -> None:
        self.rpc = rpc

    async def _ask(self, function: str, /, **args: object) -> Any:
        """The answer as JSON."""
        return await self.rpc(function, as_json(args))

    async def _read(self, kind: type[Value], function: str, /, **args: object) -> Value:
        """The answer as a value of this class."""
        return read_value(kind, await self._ask(function, **args))

    async def _read_all(self, kind: type[Value], function: str, /, **args: object) -> tuple[Value, ...]:
        """The rows of the answer, each as a value of this class."""
        return tuple(read_value(kind, row) for row in await self._ask(function, **args))


def as_json(args: Mapping[str, object]) -> dict[str, Json]:
    """Arguments as the transports send them: durations in seconds, times in ISO 8601, enums by their value."""
    plain = {name: each.total_seconds() if isinstance(each, timedelta) else each for name, each in args.items()}
    json: dict[str, Json] = _adapter(Any).dump_python(plain, mode="json", fallback=dict)
    return json


def read_value(kind: type[Value], answer: object) -> Value:
    """An answer as a value of this class. Raises pydantic.ValidationError."""
    value: Value = _adapter(kind).validate_python(answer)  # type: ignore[arg-type]  # a class is hashable
    return value


@cache
def _adapter(kind: object) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
