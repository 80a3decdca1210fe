"""Looks through the provider's list: what counts as proof, which list is trusted, which runs are in doubt there."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid4

from pipeline.ledger.client import Ledger
from pipeline.ledger.transports.common import Json, LedgerUnavailable, asking_again
from tests.ledger.client import KEY, STATES, TOKEN, LedgerClient


def look(
    client: LedgerClient, run_id: str, *, complete: bool = True, candidates: int = 0, running: bool = False
) -> tuple[object, ...]:
    row = client.call(
        "record_look",
        run_id=run_id,
        counts=complete,
        candidates=candidates,
        running_shown=running,
        says="absent",
        next_look_at=None,
    )
    return row["looks_complete"], row["first_look_at"], row["last_look_at"]


def test_only_complete_looks_that_found_nothing_are_counted_and_timed(client: LedgerClient) -> None:
    run_id = client.uncertain()
    assert look(client, run_id, complete=False) == (0, None, None)
    first = look(client, run_id)
    assert first[0] == 1
    assert first[1] == first[2] is not None
    assert look(client, run_id, complete=False) == first, "an incomplete look proves nothing, nor that time has passed"
    second = look(client, run_id)
    assert (second[0], second[1]) == (2, first[1])
    assert second[2] != first[2]


def test_look_with_a_candidate_job_resets_the_count_of_looks(client: LedgerClient) -> None:
    run_id = client.uncertain()
    look(client, run_id)
    assert look(client, run_id, candidates=1)[:2] == (0, None)
    assert look(client, run_id)[0] == 1


def test_one_look_recorded_repeatedly_counts_once(client: LedgerClient) -> None:
    """The look's answer is lost and it is recorded again; meanwhile another machine has looked, too."""
    run_id = client.uncertain()
    args: dict[str, object] = {"counts": True, "running_shown": False, "says": "absent", "next_look_at": None}
    one, other = {"look_id": str(uuid4())}, {"look_id": str(uuid4())}

    def looks(found: dict[str, str], candidates: int = 0) -> object:
        return client.call("record_look", run_id=run_id, candidates=candidates, **args, **found)["looks_complete"]

    assert [looks(one), looks(one), looks(one)] == [1, 1, 1]
    assert [looks(other), looks(one), looks(other)] == [2, 2, 2]
    assert client.events(run_id).count(("reconcile", "looked")) == 2
    assert looks({"look_id": str(uuid4())}, candidates=1) == 0
    assert [looks(one), looks(other)] == [0, 0]


async def test_each_look_has_its_own_id_and_retries_reuse_it(client: LedgerClient) -> None:
    """Two looks have different ids; a retried call keeps its id."""
    run_id, asked = client.uncertain(), []

    async def lost_twice(name: str, args: Mapping[str, Json]) -> Json:
        asked.append(args["look_id"])
        answer: Json = client.call(name, **args)
        if len(asked) % 3:
            raise LedgerUnavailable("the answer was lost")
        return answer

    ledger = Ledger(asking_again(lost_twice, first_pause_seconds=0.0))
    for nth in (1, 2):
        run = await ledger.record_look(
            UUID(run_id), counts=True, candidates=0, running_shown=False, says="absent", next_look_at=None, detail={}
        )
        assert run.looks_complete == nth
    assert len(asked) == 6
    assert len(set(asked)) == 2


def test_whether_a_list_shows_running_jobs_is_stored_per_provider_and_key(client: LedgerClient) -> None:
    run_id = client.uncertain()
    args = {"base_url": client.row(run_id)["base_url"], "key_fingerprint": "key-fingerprint", "job_ids": []}
    assert client.call("doubts_at", **args)["running_shown"] is False
    look(client, run_id, running=True)
    look(client, run_id)
    answer = client.call("doubts_at", **args)
    assert answer["running_shown"] is True
    assert answer["running_shown_at"] > client.row(run_id)["submitting_at"]
    assert client.call("doubts_at", **args | {"key_fingerprint": "another"})["running_shown"] is False
    client.write("update onetake.providers set running_shown_at = running_shown_at - interval '31 days'")
    assert client.call("doubts_at", **args)["running_shown"] is False


def test_witnesses_include_the_nearest_jobs_of_the_same_model(client: LedgerClient) -> None:
    """A gateway's list may cover one model only: jobs of another model prove nothing about it."""
    client.unlimited()
    doubt = client.uncertain("tg:doubt", model="veo")
    around = {"veo": 7200, "sim-1": 3600}
    placed: dict[tuple[str, int], str] = {}
    for model, seconds in around.items():
        for side in (-1, 1):
            run_id = client.rendering(f"tg:{model}{side}", model=model)
            client.write(
                "update onetake.runs set submitting_at = d.submitting_at + %s * interval '1 second',"
                " answered_at = d.submitting_at + %s * interval '1 second'"
                " from (select submitting_at from onetake.runs where run_id = %s) d where run_id = %s",
                side * seconds,
                side * seconds,
                doubt,
                run_id,
            )
            placed[model, side] = run_id
    found = client.call("witnesses_near", run_id=doubt, near_seconds=900, rival_seconds=60)["witnesses"]
    assert {owner["run_id"] for owner in found.values()} == set(placed.values())


def test_parked_run_in_doubt_becomes_due_only_by_an_order_of_the_same_model(client: LedgerClient) -> None:
    client.unlimited()
    doubt = client.uncertain("tg:doubt", model="veo")
    client.call("park", run_id=doubt, why="no_witness_after", next_look_at=None)
    waits = client.row(doubt)["next_look_at"]
    client.rendering("tg:1", model="sim-1")
    assert client.row(doubt)["next_look_at"] == waits is not None
    client.rendering("tg:2", model="veo")
    assert client.row(doubt)["next_look_at"] is None


def test_look_for_a_run_no_longer_in_doubt_is_not_counted(client: LedgerClient) -> None:
    run_id = client.rendering()
    assert look(client, run_id)[0] == 0


def test_doubts_at_returns_possible_owners_and_the_owners_of_listed_jobs(client: LedgerClient) -> None:
    client.unlimited()
    runs = {state: client.in_state(state, f"tg:{state}") for state in STATES}
    not_made = client.uncertain("tg:not_made")
    client.fail(not_made, "uncertain", "not_made")
    not_charged = client.uncertain("tg:not_charged")
    assert client.call("settle_not_charged", run_id=not_charged, who="op")["settled"]
    old = client.uncertain("tg:old")
    client.fail(old, "uncertain", "not_made")
    client.age(old, 31 * 86_400)
    refused = client.submitting("tg:refused")
    client.fail(refused, "submitting", "bad_request", token=TOKEN)
    never_sent = client.submitting("tg:never_sent")
    client.fail(never_sent, "submitting", "never_sent", token=TOKEN)
    client.uncertain("tg:elsewhere", key_fingerprint="another")
    job = client.row(runs["rendering"])["job_id"]
    answer = client.call(
        "doubts_at", base_url="http://provider.test/v1", key_fingerprint="key-fingerprint", job_ids=[job, "x"]
    )
    assert {row["run_id"] for row in answer["runs"]} == {
        runs["submitting"],
        runs["uncertain"],
        not_made,
        not_charged,
        refused,
    }
    row = client.row(runs["rendering"])
    owner = answer["owned"].pop(job)
    assert (owner["run_id"], owner["source"]) == (runs["rendering"], "answer")
    assert owner["order"]["prompt"] == row["improved_prompt"]
    assert (owner["sent_at"], owner["known_at"]) == (row["submitting_at"], row["answered_at"])
    assert datetime.fromisoformat(answer["ours_since"]) <= datetime.fromisoformat(row["submitting_at"])
    assert answer["owned"] == {}


def test_job_owned_by_a_run_under_another_base_url_is_explained(client: LedgerClient) -> None:
    client.rendering(job="job_1")
    args = {"base_url": "http://the-same-server.test/v1", "key_fingerprint": KEY, "job_ids": ["job_1", "job_2"]}
    assert client.call("doubts_at", **args)["explained"] == ["job_1"]
