"""Parses limits as operators type them, the same in the terminal, the chat and the page. Money is in dollars. Pure.

Raises   ValueError: its text says what was expected
"""

from decimal import Decimal

from pipeline.formatting import MICROUSD, usd

MICROUSD_MAX = 10**15  # the ledger accepts fifteen digits
# A larger change of a budget is probably a typo, or micro-dollars typed for dollars.
TIMES_MAX = 10
SMALL_MICROUSD = 10 * MICROUSD  # a lower budget counts as this much


def is_money(key: str) -> bool:
    return key.endswith("_microusd")


def read_value(key: str, text: str) -> int | str:
    """The value for the ledger: micro-dollars, a whole number, or a word for the rollout."""
    value = read_typed(key, text)
    if isinstance(value, str) and key != "rollout":
        raise ValueError(f"it must be a whole number, not {text or 'nothing'}")
    return value


def read_typed(key: str, text: str) -> int | str:
    """The same, but returns other words unchanged, except for money: the ledger's refusal names what it takes."""
    if is_money(key):
        return _microusd(text)
    return int(text[:20]) if text.isascii() and text.isdecimal() else text


def _microusd(dollars: str) -> int:
    expected = f"it must be dollars, such as 5 or 5.50, not {dollars or 'nothing'}"
    try:
        amount = Decimal(dollars.removeprefix("US").removeprefix("$")) * MICROUSD
        whole = 0 <= amount < MICROUSD_MAX and amount == amount.to_integral_value()
    except ArithmeticError:
        raise ValueError(expected) from None
    if not whole:
        raise ValueError(expected)
    return int(amount)


def big_change(key: str, wanted: object, present: object) -> str | None:
    """The question to ask before a budget grows more than tenfold or falls below a tenth; None for smaller changes."""
    if not is_money(key) or not isinstance(wanted, int) or not isinstance(present, int):
        return None
    if wanted > TIMES_MAX * max(present, SMALL_MICROUSD):
        return f"{usd(wanted)} is more than {TIMES_MAX} times the current {usd(present)}"
    if present > SMALL_MICROUSD and TIMES_MAX * wanted < present:
        return f"{usd(wanted)} is less than a tenth of the current {usd(present)}"
    return None
