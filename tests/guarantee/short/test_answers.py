"""The short form of the answer matrix; the full one is `python -m tests.guarantee.answers`."""

from pathlib import Path

from tests.guarantee.answers import BEHAVIOURS, SHORT, Listing, matrix


async def test_whatever_the_provider_answers_there_is_one_post_and_the_right_state_money_and_sentence(
    ledger_dsn: str, tmp_path: Path
) -> None:
    chosen = [behaviour for behaviour in BEHAVIOURS if behaviour.name in SHORT]
    assert len(chosen) == len(SHORT)

    cells = await matrix(chosen, ledger_dsn, tmp_path)

    assert len(cells) == len(SHORT) * len(Listing)
    assert [(cell.behaviour, cell.listing, cell.violations) for cell in cells if cell.violations] == []
    assert max(cell.posts for cell in cells) == 1


def test_every_behaviour_of_the_matrix_has_a_name_of_its_own() -> None:
    names = [behaviour.name for behaviour in BEHAVIOURS]
    assert len(names) == len(set(names))
