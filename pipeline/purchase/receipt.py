"""The receipt of a run: when its one order was sent, what it was, and what it cost. Pure.

In       a run, and a formatter for money
Out      (label, value) in order; labels are English, values are facts of the ledger, unchanged
"""

from collections.abc import Callable

from pipeline.formatting import usd
from pipeline.ledger.records import Run

NONE = "-"
TEMPLATE_CHARACTERS = 12  # of a template's sha256: enough to tell them apart


def receipt(run: Run, money: Callable[[int], str] = usd) -> tuple[tuple[str, str], ...]:
    found = [
        ("reference", run.ref),
        ("order sent", f"{run.submitting_at:%Y-%m-%d %H:%M:%S} UTC" if run.submitting_at else NONE),
        ("agreed price", money(run.price_microusd)),
        ("length and format", f"{run.seconds} s · {run.size} · {run.offer}"),
        ("charged", money(run.spent_microusd)),
        ("set aside", money(run.held_microusd)),
        ("charged by the provider", "" if run.charged_microusd is None else money(run.charged_microusd)),
        ("text model", money(run.text_microusd)),
        ("job", run.job_id or NONE),
        ("sent with key", str(run.run_id)),
        ("request key", run.request_key),
        ("request hash", run.request_hash),
        (
            "templates",
            ", ".join(f"{name} {sha256[:TEMPLATE_CHARACTERS]}" for name, sha256 in sorted(run.templates.items())),
        ),
    ]
    return tuple((label, value) for label, value in found if value)
