"""The receipt of a run: when its one order left, what it was, and what it cost. Pure.

Out      (label, value) in order; labels are English, values are facts of the ledger, unchanged
"""

from pipeline.amounts import usd
from pipeline.records import Run

TEMPLATE_CHARACTERS = 12  # of a template's sha256: as many as tell them apart


def receipt(run: Run) -> tuple[tuple[str, str], ...]:
    found = [
        ("run", run.ref),
        ("ordered", _ordered(run)),
        ("price", f"{usd(run.price_microusd)} ({run.seconds} s of {run.model}, {run.size})"),
        ("charged", usd(run.spent_microusd)),
        ("set aside", usd(run.held_microusd)),
        ("text model", usd(run.text_microusd)),
        ("job", run.job_id or "none"),
        ("sent with key", str(run.run_id)),
        ("request key", run.request_key),
        ("request hash", run.request_hash),
        *((f"template {name}", sha256[:TEMPLATE_CHARACTERS]) for name, sha256 in sorted(run.templates.items())),
    ]
    return tuple((label, value) for label, value in found if value)


def _ordered(run: Run) -> str:
    if run.submitting_at is None:
        return "never"
    return f"once, {run.submitting_at:%Y-%m-%d %H:%M:%S} UTC"
