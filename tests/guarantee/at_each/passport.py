"""The passport of each provider in `docs/providers.md`: its facts, the test that plays each, and what was proved.

In       the providers' facts; the report of `python -m tests.guarantee.at_each`
Out      Markdown, between two markers of the page
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.formatting import lasting
from providers.apis import FACTS, lost_answer_words
from providers.orders import OPENAI
from providers.port import Callback, Facts, Marker
from tests.guarantee.pages import rows_of, table

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "providers.md"
BEGIN, END = "<!-- passport -->", "<!-- /passport -->"
EACH = "tests/pipeline/test_each_provider.py"
ANSWERS = "tests/guarantee/at_each/answers.py"
MARKERS = {
    Marker.OWN_ID: "our own id can be looked up",
    Marker.ECHOED_REQUEST: "the list shows the whole request",
    Marker.ECHOED_FIELD: "the list shows a field of ours",
    Marker.CALLBACK: "only a callback names our order",
    Marker.NONE: "none",
}
CALLBACKS = {Callback.NONE: "none", Callback.SIGNED: "yes, signed", Callback.UNSIGNED: "yes, unsigned"}


def passports(report: Any) -> str:
    """All providers but the OpenAI Videos protocol, whose servers differ: `onetake check --provider` looks at one."""
    rows = rows_of(report)
    return "\n\n".join(_passport(facts, rows) for name, facts in FACTS.items() if name != OPENAI)


def _passport(facts: Facts, rows: Any) -> str:
    own = [row for row in rows if row["provider"] == facts.name]
    wrong = sum(bool(row["violations"]) for row in own)
    proved = f"{len(own)} cases of kills, freezes, races and answers: {wrong} violations." if own else "Not played."
    tests = _tests_of(facts.name)
    lines = [
        ("marker", MARKERS[facts.marker], tests),
        ("a lost answer is", lost_answer_words(facts), EACH),
        ("window", _seconds(facts.record_seconds, "not known"), tests),
        ("absence proves", _absence(facts), ANSWERS),
        ("list shows running jobs", {True: "yes", False: "no", None: "not known"}[facts.shows_running], tests),
        ("refusals that may be billed", _billed(facts), "tests/pipeline/purchase/test_charges.py"),
        ("callback", CALLBACKS[facts.callback], "tests/web/test_callbacks.py"),
        ("clip can be fetched for", _seconds(facts.clip_seconds, "not known"), tests),
        ("cancel", facts.cancel or "not known", tests),
        ("extend", facts.extend or "not known", "-"),
        ("pictures", facts.image_input or "not known", "-"),
        ("real charge", facts.charge or "not told", "tests/pipeline/purchase/test_charges.py"),
        ("its own client, when an answer is lost", facts.sdk_repeats or "-", "#what-official-clients-do"),
    ]
    shown = table(("fact", "value", "played by"), [(name, value, _link(test)) for name, value, test in lines])
    unknown = "".join(f"- {each}\n" for each in facts.unknown)
    sources = "".join(f"- {name}: {_source(where)}\n" for name, where in facts.sources.items())
    keys = " and ".join(f"`{name}`" for name in facts.key_names)
    return (
        f"### {facts.title}\n\n`{facts.name}/...`, {keys}. {proved}\n\n{shown}\n\n"
        f"Not known, and taken for whatever proves less, with the call that would tell:\n\n{unknown}\n"
        f"Sources:\n\n{sources}".rstrip()
    )


def _absence(facts: Facts) -> str:
    """When an order that is not shown is proved never made, besides the witnesses of rule 6."""
    looked_up = facts.marker is Marker.OWN_ID
    if not (facts.has_list or (looked_up and facts.lookup_proves_absence)):
        return "nothing"
    if facts.absent_after is None:
        return "only with purchases of ours around it in the list, one of them seen running: T is not known"
    return f"after T = {lasting(facts.absent_after.total_seconds())}, with purchases of ours around it in the list"


def _billed(facts: Facts) -> str:
    return ", ".join(f"HTTP {status}" for status in sorted(facts.refusal_may_bill)) or "none known"


def _seconds(seconds: int | None, unknown: str) -> str:
    return unknown if seconds is None else lasting(seconds)


def _tests_of(name: str) -> str:
    """The provider's own tests; the first file, if there are several."""
    return str(sorted((ROOT / "tests" / "providers" / "vendors").glob(f"test_{name}*.py"))[0].relative_to(ROOT))


def _link(test: str) -> str:
    if test == "-":
        return test
    return f"[the scoreboard]({test})" if test.startswith("#") else f"[`{Path(test).name}`](../{test})"


def _source(where: str) -> str:
    return re.sub(r"https?://[^\s,)]+", lambda found: f"<{found[0]}>", where)


def written(page: str, report: Any) -> str:
    """The page with today's passports between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{passports(report)}\n\n{END}{after}"


def facts_in(page: str) -> Mapping[str, str]:
    """Each provider's section of the page, by its title, for the test that compares it with the facts."""
    inside = page.partition(BEGIN)[2].partition(END)[0]
    parts = re.split(r"^### ", inside, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts}
