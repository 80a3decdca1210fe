"""The receipt of a run, in its user's language."""

from collections.abc import Mapping

from markupsafe import Markup

from bot import messages
from bot.translations import N_, Words, code
from pipeline.ledger.records import Run
from pipeline.purchase.receipt import receipt

LABELS: Mapping[str, str] = {
    "reference": N_("reference"),
    "order sent": N_("order sent"),
    "agreed price": N_("agreed price"),
    "length and format": N_("length and format"),
    "charged": N_("charged"),
    "set aside": N_("set aside"),
    "charged by the provider": N_("charged by the video maker"),
    "text model": N_("checking the text, paid by us"),
    "job": N_("job at the video maker"),
    "sent with key": N_("id of the call"),
    "request key": N_("id of the request"),
    "request hash": N_("request hash"),
    "templates": N_("templates"),
}


def receipt_text(run: Run, words: Words, *, demo: bool) -> Markup:
    lines = [
        words("{label}: {value}", label=words(LABELS.get(label, label)), value=code(value))
        for label, value in receipt(run, words.usd)
    ]
    heading = words("🧾 <b>Receipt</b>")
    return messages.with_demo(Markup("\n").join([heading, *lines]), words, demo=demo)
