"""Limits as operators type them, the same in the terminal, the chat and the page. Pure: money is typed in dollars.

Raises   ValueError from `read_value`: its text says what was expected
"""

from decimal import Decimal

from pipeline.formatting import MICROUSD, usd

MICROUSD_MAX = 10**15  # fifteen digits, as the ledger takes
# A budget that changes by more at once is a slip of the finger, or micro-dollars where dollars are meant.
TIMES_MAX = 10
SMALL_MICROUSD = 10 * MICROUSD  # what a lower budget counts as


def is_money(key: str) -> bool:
    return key.endswith("_microusd")


def read_value(key: str, text: str) -> int | str:
    """What the ledger takes for it: micro-dollars, a whole number, or a word for the rollout."""
    value = read_typed(key, text)
    if isinstance(value, str) and key != "rollout":
        raise ValueError(f"it must be a whole number, not {text or 'nothing'}")
    return value


def read_typed(key: str, text: str) -> int | str:
    """The same, but what is no number is left for the ledger to refuse, which names what it takes."""
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
    """What to ask before a budget becomes more than ten times what it was, or less than a tenth."""
    if not is_money(key) or not isinstance(wanted, int) or not isinstance(present, int):
        return None
    if wanted > TIMES_MAX * max(present, SMALL_MICROUSD):
        return f"{usd(wanted)} is more than {TIMES_MAX} times the present {usd(present)}"
    if present > SMALL_MICROUSD and TIMES_MAX * wanted < present:
        return f"{usd(wanted)} is less than a tenth of the present {usd(present)}"
    return None
