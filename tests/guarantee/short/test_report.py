"""The page of guarantees: it shows every violation, whatever form a proof reports it in."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.guarantee import pages
from tests.guarantee.report import Found, Part, page, parts, prove, proved_before


@pytest.mark.parametrize(
    ("report", "violations"),
    [
        ({"rows": [{"name": "a", "wrong": []}], "wrong": []}, []),
        ({"rows": [{"name": "a", "wrong": ["paid twice"]}], "wrong": ["new"]}, ["new", "a: paid twice"]),
        ({"rows": [{"behaviour": "409", "violations": ["2 POSTs"]}], "violations": 1}, ["409: 2 POSTs"]),
        ([{"seed": 7, "wrong": ["a clip was lost"]}], ["7: a clip was lost"]),
        ({"mutants": [{"name": "token"}], "violations": ["token survived"]}, ["token survived"]),
    ],
)  # fmt: skip
def test_violations_are_read_from_every_report_format(report: Any, violations: list[str]) -> None:
    assert pages.violations_of(report) == violations
    assert len(pages.rows_of(report)) == 1


@pytest.mark.parametrize("module", ["tests.guarantee.no_such_module", "this"])
def test_proof_that_fails_or_writes_no_report_is_a_violation(module: str, tmp_path: Path) -> None:
    found = prove(Part("x", "X", module, pages.any_rows), tmp_path)
    assert "it wrote no report" in found.violations


def test_proof_is_reused_only_with_the_same_arguments_and_no_violations(tmp_path: Path) -> None:
    quick = Part("answers", "Answers", "tests.guarantee.answers", pages.any_rows, ("--none",))
    assert prove(quick, tmp_path).violations != ()
    assert proved_before(quick, tmp_path) is None, "a violation is never kept"
    (tmp_path / "answers.json").write_text('{"rows": [{"name": "a", "wrong": []}]}')
    facts = {"command": quick.command(), "seconds": 3.0, "at": "2026-11-23 00:00", "commit": "abc1234"}
    (tmp_path / "answers.proved").write_text(json.dumps(facts))
    found = proved_before(quick, tmp_path)
    assert found is not None and (found.seconds, found.commit) == (3.0, "abc1234")
    assert proved_before(replace(quick, arguments=()), tmp_path) is None


def test_the_page_shows_command_date_tables_and_violations() -> None:
    part = next(each for each in parts(20) if each.name == "races")
    found = Found(part, {"rows": [{"name": "same key", "paid": 1, "wrong": []}]}, ("two were paid",), 3.0)
    text = page([found], "make guarantee", datetime(2026, 11, 23, tzinfo=UTC))
    assert "2026-11-23 00:00 UTC" in text
    assert "    make guarantee" in text
    assert "| same key | 1 | 0 |" in text
    assert "**violation**: two were paid" in text
    assert "@" not in text


def test_telegram_page_lists_the_crash_points_that_a_user_notices() -> None:
    sale = {"kind": "killed once", "state": "delivered", "creates": 1, "paid": 1, "cards": 1, "videos": 1}
    sale |= {"last_word": True, "wrong": []}
    rows = [sale | {"name": "ledger.reserve.after"}, sale | {"name": "telegram.sendVideo.after", "videos": 2}]
    text = pages.telegram({"points": ["a", "b"], "rows": rows})
    assert "| killed once | 2 | 1 | 1 | 1 | 2 | delivered 2 | 0 |" in text
    assert "| telegram.sendVideo.after | delivered | 1 | 1 | 2 | yes |" in text
    assert "ledger.reserve.after" not in text
