"""What every transport to the ledger can carry."""

from collections.abc import Mapping

from pipeline.ledger.transports.common import Json, asking_again


async def test_nul_and_lone_surrogates_are_cleaned_from_arguments_at_any_depth() -> None:
    sent: dict[str, Json] = {}

    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        sent.update(args)
        return name

    shown: dict[str, Json] = {"words": "n\0ul", "detail": {"k\0ey": ["half \ud800", 7, None, {"deep": "\0"}]}}
    assert await asking_again(rpc)("note", shown) == "note"
    assert sent == {"words": "nul", "detail": {"key": ["half ?", 7, None, {"deep": ""}]}}
