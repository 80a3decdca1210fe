"""Who gets a job: `record_submission` in every state, from every source, with every owner the job may have.

`expected` says in Python what docs/design.md says in prose ("Proof beats a guess"); the table has all combinations.
"""

from itertools import product
from uuid import uuid4

import pytest

from tests.ledger.client import OTHER_TOKEN, PRICE, LedgerClient

SOURCES = ("answer", "list", "person")
SITUATIONS = (
    *("reserved", "approved", "submitting", "uncertain", "saved", "delivered", "rejected", "canceled"),
    *("rendering by answer", "rendering by list", "rendering by person"),
    *("parked by answer", "parked by list", "unseen by answer"),
    *("failed before", "failed without job", "failed by list", "failed by answer"),
)
WITHOUT_TOKEN = {"reserved", "approved", "rejected", "canceled", "failed before"}
WITH_JOB = {situation for situation in SITUATIONS if " by " in situation} | {"saved", "delivered"}
OWNERS = ("nobody", "itself", "an adopter", "a saved adopter", "an answered run")


def not_charged(client: LedgerClient, run_id: str) -> None:
    """Settled by a person, who may do so once the rendering run is parked."""
    client.call("park", run_id=run_id, why="", next_look_at=None)
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]


def bring(client: LedgerClient, situation: str, user: str) -> str:
    """Brings a run into one of the situations."""
    match situation.split():
        case ["rendering", "by", source]:
            return client.rendering(user, source=source)
        case ["parked" | "unseen" as seen, "by", source]:
            run_id = client.rendering(user, source=source)
            if seen == "parked":
                client.see(run_id)
            client.call("park", run_id=run_id, why="", next_look_at=None)
            return run_id
        case ["failed", "before"]:
            return client.in_state("failed", user)
        case ["failed", "without", "job"]:
            run_id = client.uncertain(user)
            client.fail(run_id, "uncertain", "not_made")
            return run_id
        case ["failed", "by", source]:
            run_id = client.rendering(user, source=source)
            if source == "list":  # nothing but a person's word fails a run by a job that it adopted
                not_charged(client, run_id)
            else:
                client.fail(run_id, "rendering", "render_failed")
            return run_id
        case _:
            return client.in_state(situation, user)


def expected(situation: str, source: str, owner: str) -> str:
    """The expected answer: recorded, replayed (recorded, nothing moves), or why not."""
    state, _, by = situation.partition(" by ")
    if source == "answer" and situation in WITHOUT_TOKEN:
        return "not_the_winner"
    if owner == "itself":
        if state in {"rendering", "parked", "unseen", "saved", "delivered"}:
            return "replayed"
        if source == by == "answer":
            return "replayed"
    accepted = {
        "answer": state in {"submitting", "uncertain"}
        or (state == "failed" and by != "answer")
        or situation == "failed without job"
        or (state in {"rendering", "parked"} and by != "answer"),
        "list": situation in {"uncertain", "failed without job"},
        "person": state in {"uncertain", "unseen"}
        or state.startswith("failed")
        or (state == "parked" and by != "answer"),
    }
    if not accepted[source] or situation == "failed before":
        return "state"
    if owner == "an answered run" or (owner in {"an adopter", "a saved adopter"} and source != "answer"):
        return "owned"
    return "recorded"


CASES = [case for case in product(SITUATIONS, SOURCES, OWNERS) if case[2] != "itself" or case[0] in WITH_JOB]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_record_submission_follows_the_precedence_of_sources_and_owners(client: LedgerClient, situation: str) -> None:
    client.unlimited()
    for nth, (_, source, owner) in enumerate(case for case in CASES if case[0] == situation):
        check(client, situation, source, owner, f"tg:{nth}")
    assert client.books_wrong() == []


def check(client: LedgerClient, situation: str, source: str, owner: str, user: str) -> None:
    said = f"{situation}, {source}, owned by {owner}"
    run_id = bring(client, situation, user)
    before = client.row(run_id)
    job = str(before["job_id"]) if owner == "itself" else f"job_{uuid4().hex}"
    other = bring_owner(client, owner, job, f"{user}-other")
    other_before = client.row(other) if other else None

    answer = client.record(run_id, job, source)

    want = expected(situation, source, owner)
    assert (answer["recorded"], answer.get("why")) == (
        want in {"recorded", "replayed"},
        None if want in {"recorded", "replayed"} else want,
    ), said
    after = client.row(run_id)
    if want == "recorded":
        assert (after["state"], after["job_id"], after["job_source"]) == ("rendering", job, source), said
        assert (after["held_microusd"], after["parked_at"]) == (PRICE, None), said
        assert answer["late"] is (before["state"] == "failed"), said
    elif want == "replayed":
        proved = "answer" if source == "answer" else before["job_source"]
        woken = {"next_look_at": None} if source == "person" and before["state"] == "rendering" else {}
        assert after == before | {"job_source": proved} | woken | named(after, source, job), said
    else:
        kept = named(after, source, job) if want != "not_the_winner" and before["answered_job_id"] is None else {}
        assert after == before | kept, said
    if other and other_before:
        check_owner(client, other, other_before, taken=want == "recorded", instead=before, said=said)


def named(after: dict[str, object], source: str, job: str) -> dict[str, object]:
    """The id in a real answer is kept, even if another run owns that job."""
    return {"answered_job_id": job, "answered_at": after["answered_at"]} if source == "answer" else {}


def bring_owner(client: LedgerClient, owner: str, job: str, user: str) -> str | None:
    if owner in {"nobody", "itself"}:
        return None
    run_id = client.rendering(user, job=job, source="answer" if owner == "an answered run" else "list")
    if owner == "a saved adopter":
        client.save(run_id)
    return run_id


def check_owner(
    client: LedgerClient, other: str, was: dict[str, object], *, taken: bool, instead: dict[str, object], said: str
) -> None:
    """An owner that loses its job gets the other run's job in exchange, or is in doubt again; a saved clip stays."""
    now = client.row(other)
    if not taken:
        assert now == was, said
    elif instead["state"] == "rendering":
        assert (now["state"], now["job_id"]) == (was["state"], instead["job_id"]), said
    elif was["state"] == "saved":
        assert (now["state"], now["job_id"], now["file"]) == ("saved", None, was["file"]), said
    else:
        assert (now["state"], now["job_id"], now["job_source"]) == ("uncertain", None, None), said
        assert (now["looks_complete"], now["doubt"]) == (0, "job_was_another_runs"), said


def test_answer_without_the_winning_token_is_not_recorded(client: LedgerClient) -> None:
    run_id = client.submitting()
    answer = client.record(run_id, "job_1", "answer", token=OTHER_TOKEN)
    assert answer == {"recorded": False, "why": "not_the_winner", "state": "submitting"}
    answer = client.call("record_submission", run_id=run_id, job_id="job_1", source="answer")
    assert answer["why"] == "not_the_winner"


def test_answer_for_an_unknown_run_is_not_recorded(client: LedgerClient) -> None:
    assert client.record(str(uuid4()), "job_1")["why"] == "unknown_run"


def test_recording_the_same_answer_again_changes_nothing(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    before = client.row(run_id)
    assert client.record(run_id, "job_1")["recorded"] is True
    assert client.row(run_id) == before
    assert client.events(run_id).count(("generate_video", "made")) == 1


def test_answer_file_replayed_after_the_render_failed_does_not_revive_the_run(client: LedgerClient) -> None:
    """The crash came between committing the answer and dropping its file; the run continued meanwhile."""
    run_id = client.rendering(job="job_1")
    client.fail(run_id, "rendering", "render_failed", breaker="render")
    before = client.row(run_id)
    assert client.record(run_id, "job_1") == {"recorded": True, "state": "failed"}
    assert client.row(run_id) == before


def test_equal_job_ids_of_two_providers_are_different_jobs(client: LedgerClient) -> None:
    client.rendering("tg:1", job="job_1")
    other = client.uncertain("tg:2", base_url="http://other.test/v1")
    assert client.record(other, "job_1", "list")["recorded"] is True


def test_answer_swaps_the_jobs_of_two_runs_that_adopted_from_the_list(client: LedgerClient) -> None:
    first = client.rendering("tg:1", job="job_a", source="list")
    second = client.rendering("tg:2", job="job_b", source="list")
    assert client.record(first, "job_b")["recorded"] is True
    assert [client.row(run)["job_id"] for run in (first, second)] == ["job_b", "job_a"]
    assert [client.row(run)["job_source"] for run in (first, second)] == ["answer", "list"]
    assert [client.state(run) for run in (first, second)] == ["rendering", "rendering"]
    assert client.record(second, "job_a")["recorded"] is True
    assert client.row(second)["job_source"] == "answer"


def test_failed_run_that_loses_its_job_to_an_answer_continues_with_the_swapped_job(client: LedgerClient) -> None:
    first = client.rendering("tg:1", job="job_b", source="list")
    second = client.rendering("tg:2", job="job_a", source="list")
    not_charged(client, second)
    assert client.record(first, "job_a")["recorded"] is True
    row = client.row(second)
    assert (row["state"], row["job_id"], row["reason"], row["held_microusd"]) == ("rendering", "job_b", None, PRICE)
    assert ("generate_video", "adopted_late") in client.events(second)
    assert client.books_wrong() == []


def test_failed_run_that_loses_its_job_to_an_answer_is_matched_again(client: LedgerClient) -> None:
    adopter = client.rendering("tg:1", job="job_a", source="list")
    not_charged(client, adopter)
    client.record(client.submitting("tg:2"), "job_a")
    row = client.row(adopter)
    assert (row["state"], row["job_id"]) == ("failed", None)
    args = {"base_url": row["base_url"], "key_fingerprint": row["key_fingerprint"], "job_ids": []}
    assert [each["run_id"] for each in client.call("doubts_at", **args)["runs"]] == [adopter]
    assert client.record(adopter, "job_b", "list")["late"] is True


def test_parked_run_becomes_due_when_a_person_confirms_its_own_job(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_a")
    client.call("park", run_id=run_id, why="", next_look_at=None)
    assert client.call("due_runs", at_most=10) == []
    assert client.record(run_id, "job_a", "person")["recorded"] is True
    assert [row["run_id"] for row in client.call("due_runs", at_most=10)] == [run_id]
    assert client.row(run_id)["parked_at"] is not None


def test_run_that_loses_its_adopted_job_is_in_doubt_and_can_adopt_another(client: LedgerClient) -> None:
    adopter = client.rendering("tg:1", job="job_a", source="list")
    client.record(client.submitting("tg:2"), "job_a")
    assert client.state(adopter) == "uncertain"
    assert client.record(adopter, "job_b", "list")["recorded"] is True
    assert client.row(adopter)["job_id"] == "job_b"
    assert ("reconcile", "job_taken") in client.events(adopter)


# -- late adoption: a clip that was paid for is never refused


def test_late_adoption_holds_the_price_on_the_runs_own_day_despite_every_limit(client: LedgerClient) -> None:
    run_id = client.uncertain()
    client.fail(run_id, "uncertain", "not_made")
    client.write("update onetake.runs set day = day - 40, month = to_char(day - 40, 'YYYY-MM')")
    client.write("delete from onetake.budgets")
    client.limit("budget_day_microusd", 0)
    client.limit("budget_month_microusd", 0)
    client.limit("videos_per_user_day", 0)
    client.call("set_paused", paused=True, reason="", who="op")
    client.call("set_user", user_id="tg:1", blocked=True, invited=None, reason="", who="op")
    answer = client.record(run_id, "job_1", "list")
    assert (answer["recorded"], answer["late"]) == (True, True)
    assert [budget["held"] for budget in client.budget(run_id)] == [PRICE, PRICE]
    row = client.row(run_id)
    assert (row["reason"], row["held_microusd"], row["released_microusd"]) == (None, PRICE, 0)
    assert ("generate_video", "adopted_late") in client.events(run_id)
    assert client.books_wrong() == []


def test_late_adoption_succeeds_while_the_same_prompt_was_requested_again(client: LedgerClient) -> None:
    run_id = client.uncertain()
    client.fail(run_id, "uncertain", "not_made")
    client.age(run_id, 60)
    again = client.reserved()
    assert client.record(run_id, "job_1", "person")["recorded"] is True
    assert [client.state(run) for run in (run_id, again)] == ["rendering", "reserved"]
    assert client.one("select run_id::text from onetake.leases") == again
    assert client.save(run_id)["state"] == "saved"
    assert client.books_wrong() == []


def test_late_adoption_of_a_charged_run_charges_it_only_once(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    client.fail(run_id, "rendering", "expired", spent=True)
    assert client.record(run_id, "job_1", "person")["recorded"] is True
    assert [(b["held"], b["spent"]) for b in client.budget(run_id)] == [(PRICE, 0)] * 2
    client.save(run_id)
    assert [(b["held"], b["spent"]) for b in client.budget(run_id)] == [(0, PRICE)] * 2
    assert client.books_wrong() == []
