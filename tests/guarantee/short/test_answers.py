"""The short form of the answer matrix; the full one is `python -m tests.guarantee.answers`."""

from pathlib import Path

from tests.guarantee.answers import BEHAVIOURS, SHORT, Listing, matrix


async def test_each_provider_answer_leads_to_one_post_and_the_expected_state_and_money(
    ledger_dsn: str, tmp_path: Path
) -> None:
    chosen = [behaviour for behaviour in BEHAVIOURS if behaviour.name in SHORT]
    assert len(chosen) == len(SHORT)

    cells = await matrix(chosen, ledger_dsn, tmp_path)

    assert len(cells) == len(SHORT) * len(Listing)
    assert [(cell.behaviour, cell.listing, cell.violations) for cell in cells if cell.violations] == []
    assert max(cell.posts for cell in cells) == 1


def test_behaviour_names_of_the_answer_matrix_are_unique() -> None:
    names = [behaviour.name for behaviour in BEHAVIOURS]
    assert len(names) == len(set(names))
