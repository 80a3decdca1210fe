"""The proofs' reports as Markdown. Pure: each part's JSON in, tables and violations out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
COLUMNS_MAX = 8


def rows_of(report: Any) -> Rows:
    """The rows of a part: a list, or an object that holds one."""
    if isinstance(report, list):
        return report
    return next((report[key] for key in ("rows", "cells", "mutants") if isinstance(report.get(key), list)), [])


def violations_of(report: Any) -> list[str]:
    """The violations of a part, wherever it writes them: for the whole, or in each row."""
    found = [str(words) for words in _listed(report)] if isinstance(report, dict) else []
    for row in rows_of(report):
        name = next((str(row[key]) for key in ("name", "behaviour", "case", "seed") if key in row), "")
        found += [f"{name}: {words}" for words in _listed(row)]
    return found


def _listed(row: Mapping[str, Any]) -> list[Any]:
    return [words for key in ("wrong", "violations") if isinstance(row.get(key), list | tuple) for words in row[key]]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def crashes(report: Any) -> str:
    rows = rows_of(report)
    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows))
    summary = []
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        ends = Counter(str(row["state"]) for row in own)
        summary.append(
            (
                kind,
                len(own),
                max(row["creates"] for row in own),
                max(row["paid"] for row in own),
                ", ".join(f"{state} {count}" for state, count in ends.most_common()),
                sum(bool(row["wrong"]) for row in own),
            )
        )
    head = ("the process is", "lives", "requests, most", "paid, most", "how they ended", "violations")
    once = [row for row in rows if row["kind"] == "killed once"]
    points = table(
        ("killed at", "requests", "paid", "ended", "told"),
        [(row["name"], row["creates"], row["paid"], row["state"], row["told"]) for row in once],
    )
    return f"{table(head, summary)}\n\n{len(report['points'])} points were found. Killed once at each:\n\n{points}"


def telegram(report: Any) -> str:
    rows = rows_of(report)
    summary = []
    for kind in dict.fromkeys(str(row["kind"]) for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        ends = Counter(str(row["state"]) for row in own)
        figures = (max(row[each] for row in own) for each in ("creates", "paid", "cards", "videos"))
        ended = ", ".join(f"{state} {count}" for state, count in ends.most_common())
        summary.append((kind, len(own), *figures, ended, sum(bool(row["wrong"]) for row in own)))
    head = (
        "what happens",
        "cases",
        "requests, most",
        "paid, most",
        "cards, most",
        "videos sent, most",
        "ended",
        "violations",
    )
    seen = [row for row in rows if row["kind"] == "killed once" and _noticed(row)]
    where = table(
        ("killed at", "ended", "paid", "cards", "videos", "a card says the end"),
        [
            (row["name"], row["state"], row["paid"], row["cards"], row["videos"], "yes" if row["last_word"] else "no")
            for row in seen
        ],
    )
    points = f"{len(report['points'])} points were found. Killed once at each, a user notices at {len(seen)}:"
    return f"{table(head, summary)}\n\n{points}\n\n{where}"


def _noticed(row: Mapping[str, Any]) -> bool:
    """Whether anything differs from an undisturbed sale."""
    as_ever = row["state"] == "delivered" and row["cards"] == 1 and row["videos"] == 1 and row["last_word"]
    return not as_ever


def answers(report: Any) -> str:
    rows = rows_of(report)
    lists = list(dict.fromkeys(str(row["listing"]) for row in rows))
    by_name: dict[str, dict[str, str]] = {}
    for row in rows:
        words = f"{row['state']}, {row['money']}, {row['posts']} POST"
        by_name.setdefault(row["behaviour"], {})[row["listing"]] = words
    return table(
        ("the provider", *lists), [(name, *(cells.get(each, "-") for each in lists)) for name, cells in by_name.items()]
    )


def seeds(report: Any) -> str:
    rows = rows_of(report)
    counted = [key for key, value in rows[0].items() if isinstance(value, int) and key != "seed"] if rows else []
    clean = sum(not row["wrong"] for row in rows)
    return table(
        ("seeds", "clean", *counted), [(len(rows), clean, *(sum(row[key] for row in rows) for key in counted))]
    )


def mutants(report: Any) -> str:
    return table(
        ("mutant", "the protection that is gone", "caught by"),
        [
            (row["name"], row["removes"], f"`{row['caught_by']}`" if row["caught_by"] else "**survived**")
            for row in rows_of(report)
        ],
    )


def comparison(report: Any) -> str:
    totals, cells = report["totals"], report["cells"]
    names = [row["contender"] for row in totals]
    paid = {(cell["case"], cell["contender"]): cell["paid"] for cell in cells}
    cases = list(dict.fromkeys(case for case, name in paid if name == names[-1]))
    whole = table(
        ("contender", "what it is", "no fault", "worst", "mean", "videos lost"),
        [(r["contender"], r["about"], r["no_fault"], r["worst"], f"{r['mean']:.2f}", r["lost"]) for r in totals],
    )
    every = table(
        ("paid calls for one request", *names), [(case, *(paid[case, name] for name in names)) for case in cases]
    )
    return f"{whole}\n\nLost: paid, and its id never reached the caller, over {len(cases)} requests.\n\n{every}"


def any_rows(report: Any) -> str:
    """The rows as they are, for a part without its own layout."""
    rows = rows_of(report)
    skipped = {"wrong", "violations"}
    head = [key for key in (rows[0] if rows else {}) if key not in skipped][:COLUMNS_MAX]
    listed = [(*(row.get(key, "") for key in head), len(_listed(row))) for row in rows]
    return table((*head, "violations"), listed)


def at_each(report: Any) -> str:
    """One column per provider: how each case ended there, and how many requests and paid calls it took."""
    rows = rows_of(report)
    providers = list(dict.fromkeys(str(row["provider"]) for row in rows))
    found: dict[str, dict[str, str]] = {}
    for row in (row for row in rows if row["part"] == "answer"):
        words = f"{row['state']}, {row['posts']} POST"
        found.setdefault(str(row["case"]), {})[str(row["provider"])] = words
    answered = [(name, *(cells.get(each, "-") for each in providers)) for name, cells in found.items()]
    crashed = []
    for kind in ("killed", "frozen", "raced"):
        own = [row for row in rows if row["part"] == "crash" and str(row["case"]).startswith(kind)]
        crashed.append((f"{kind}, cases", *(_crashes_at(own, each) for each in providers)))
    total = ("violations", *(sum(bool(row["violations"]) for row in rows if row["provider"] == p) for p in providers))
    return table(("", *providers), [*crashed, *answered, total])


def _crashes_at(rows: Rows, provider: str) -> str:
    own = [row for row in rows if row["provider"] == provider]
    ends = Counter(str(row["state"]) for row in own)
    most = max((row["posts"] for row in own), default=0)
    paid = max((row["paid"] for row in own), default=0)
    counted = ", ".join(f"{state} {count}" for state, count in ends.most_common())
    return f"{len(own)}: {counted}; at most {most} POST, {paid} paid"
