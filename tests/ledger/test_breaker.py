"""The circuit breaker: too many submissions or failures open it, half open lets one in, resume closes it."""

import pytest

from tests.ledger.desk import TOKEN, Desk


def test_the_fourth_submission_of_a_user_in_a_minute_opens_his_breaker(desk: Desk) -> None:
    desk.limit("cooldown_seconds", 0)
    desk.limit("active_runs_per_user", 9)
    for nth in range(3):
        desk.submitting(prompt=f"prompt {nth}")
    fourth = desk.approved(prompt="prompt 4")
    answer = desk.begin(fourth)
    assert (answer["won"], answer["refused"]) == (False, "breaker_open")
    query = """
        select open_until - clock_timestamp() between '299 s' and '300 s' from onetake.breakers
        where scope = 'user:tg:1'
    """
    assert desk.one(query)
    assert desk.row(fourth)["held_back_by"] == "breaker_open"
    assert desk.ask(prompt="prompt 5")["kind"] == "breaker_open"
    assert desk.begin(desk.approved("tg:2"))["won"], "it stops that user, not the service"


def room_after(desk: Desk, seconds: float, user: str = "tg:1") -> bool:
    """Whether there is room that long (to the microsecond) after the first submission; undone at once."""
    query = """
        select onetake.full_breaker(%s, min(submitting_at) + make_interval(secs => %s)) is null as room
        from onetake.runs
    """
    with desk.calls.transaction(force_rollback=True):
        found = desk.calls.execute(query.encode(), (user, seconds)).fetchone()
    return bool(found and found["room"])


def test_a_submission_counts_for_sixty_seconds_to_the_microsecond(desk: Desk) -> None:
    desk.limit("cooldown_seconds", 0)
    desk.limit("active_runs_per_user", 9)
    for nth in range(3):
        desk.submitting(prompt=f"prompt {nth}")
    assert room_after(desk, 59.999999) is False
    assert room_after(desk, 60) is True


def test_the_sixty_first_submission_of_all_in_a_minute_opens_the_breaker_for_all(desk: Desk) -> None:
    desk.limit("budget_day_microusd", 10**9)
    for nth in range(60):
        desk.submitting(f"tg:{nth}")
    last = desk.approved("tg:61")
    assert desk.begin(last)["refused"] == "breaker_open"
    assert desk.one("select cause from onetake.breakers where scope = 'all'") == "submissions"
    assert desk.ask("tg:62")["kind"] == "breaker_open"


@pytest.mark.parametrize("how", ["unclear", "refused", "render"])
def test_the_fifth_provider_failure_in_a_row_opens_the_breaker(desk: Desk, how: str) -> None:
    for nth in range(5):
        assert desk.ask(f"tg:probe{nth}", price_microusd=1)["kind"] == "accepted"
        provider_fails(desk, f"tg:{nth}", how)
    assert desk.one("select cause from onetake.breakers where scope = 'all'") == "failures"
    assert desk.ask("tg:6")["kind"] == "breaker_open"


def provider_fails(
    desk: Desk, user: str, how: str = "unclear", *, reason: str = "rate_limited", prompt: str = "a red fox"
) -> None:
    if how == "unclear":
        desk.uncertain(user, prompt)
    elif how == "refused":
        assert desk.fail(desk.submitting(user, prompt), "submitting", reason, token=TOKEN, breaker="answer")["moved"]
    else:
        assert desk.fail(desk.rendering(user, prompt), "rendering", "render_failed", breaker="render")["moved"]


@pytest.mark.parametrize("how", ["unclear", "refused", "render"])
def test_one_users_failures_stop_that_user_alone(desk: Desk, how: str) -> None:
    """A prompt that the provider cannot digest, sent again and again, is no reason to stop everybody."""
    desk.unlimited()
    desk.limit("breaker_failures", 5)
    for nth in range(5):
        provider_fails(desk, "tg:1", how, reason="forbidden", prompt=f"prompt {nth}")
    refused = desk.ask("tg:1", "one more")
    assert (refused["kind"], refused["what"]) == ("breaker_open", "user")
    assert desk.one("select cause from onetake.breakers where scope = 'user:tg:1'") == "failures"
    for nth in range(4):
        provider_fails(desk, f"tg:other{nth}", how, reason="forbidden")
    assert desk.begin(desk.approved("tg:2"))["won"], "what that user did counts no more"
    provider_fails(desk, "tg:3", how, reason="forbidden")
    assert desk.ask("tg:4")["kind"] == "breaker_open"
    assert desk.ask("tg:4")["what"] is None


def test_one_users_failures_bring_nobody_else_nearer_to_a_stop(desk: Desk) -> None:
    desk.unlimited()
    desk.limit("breaker_failures", 5)
    for nth in range(4):
        provider_fails(desk, "tg:1", prompt=f"prompt {nth}")
    provider_fails(desk, "tg:2")
    assert desk.ask("tg:3")["kind"] == "accepted"
    for nth in range(3):
        provider_fails(desk, f"tg:other{nth}")
    assert desk.ask("tg:4")["kind"] == "breaker_open"


@pytest.mark.parametrize("reason", ["unauthorized", "no_credit", "not_found", "rate_limited", "never_connected"])
def test_what_no_prompt_causes_stops_everybody_whoever_met_it(desk: Desk, reason: str) -> None:
    desk.unlimited()
    desk.limit("breaker_failures", 5)
    for nth in range(5):
        provider_fails(desk, "tg:1", "refused", reason=reason, prompt=f"prompt {nth}")
    assert desk.ask("tg:2")["kind"] == "breaker_open"


def test_one_users_failed_probe_leaves_its_place_to_the_next(desk: Desk) -> None:
    """After a burst of orders nobody had failed yet; one user's failure does not stop everybody again."""
    desk.unlimited()
    probe, second = desk.approved("tg:1"), desk.approved("tg:2")
    desk.write("update onetake.breakers set open_until = clock_timestamp(), cause = 'submissions' where scope = 'all'")
    assert desk.begin(probe)["won"]
    assert desk.begin(second)["refused"] == "breaker_open"
    desk.doubt(probe)
    assert desk.begin(second)["won"]


@pytest.mark.parametrize("good", ["made", "a clear no"])
def test_an_answer_in_between_begins_the_count_again(desk: Desk, good: str) -> None:
    for nth in range(4):
        provider_fails(desk, f"tg:{nth}")
    if good == "made":
        desk.rendering("tg:good")
    else:
        desk.fail(desk.submitting("tg:good"), "submitting", "bad_request", token=TOKEN)
    provider_fails(desk, "tg:5")
    assert desk.ask("tg:6")["kind"] == "accepted"


def test_a_saved_render_begins_the_count_of_failed_renders_again(desk: Desk) -> None:
    for nth in range(4):
        provider_fails(desk, f"tg:{nth}", "render")
    desk.saved("tg:good")
    provider_fails(desk, "tg:5", "render")
    assert desk.ask("tg:6")["kind"] == "accepted"


def opened_by_failures(desk: Desk) -> list[str]:
    """Three approved runs and a breaker that has just become half open."""
    runs = [desk.approved(f"tg:waiting{nth}", price_microusd=1) for nth in range(3)]
    for nth in range(5):
        provider_fails(desk, f"tg:{nth}")
    assert desk.begin(runs[0])["refused"] == "breaker_open"
    desk.write("update onetake.breakers set open_until = clock_timestamp()")
    return runs


def test_half_open_lets_one_through_and_its_success_closes_the_breaker(desk: Desk) -> None:
    probe, second, third = opened_by_failures(desk)
    assert desk.begin(probe)["won"]
    assert desk.begin(second)["refused"] == "breaker_open"
    desk.record(probe, "job_1")
    assert desk.begin(second)["won"]
    assert desk.begin(third)["won"]
    assert desk.call("controls")["breakers"] == []


def test_a_probe_that_fails_opens_the_breaker_again(desk: Desk) -> None:
    probe, second, _ = opened_by_failures(desk)
    assert desk.begin(probe)["won"]
    desk.doubt(probe)
    assert desk.begin(second)["refused"] == "breaker_open"
    assert desk.one("select open_until > clock_timestamp() + '290 s' from onetake.breakers where scope = 'all'")


def test_a_probe_that_was_never_sent_leaves_its_place_to_the_next(desk: Desk) -> None:
    probe, second, _ = opened_by_failures(desk)
    assert desk.begin(probe)["won"]
    desk.fail(probe, "submitting", "never_sent", token=TOKEN)
    assert desk.begin(second)["won"]


def test_a_probe_whose_process_died_gives_way_after_five_minutes(desk: Desk) -> None:
    probe, second, _ = opened_by_failures(desk)
    assert desk.begin(probe)["won"]
    desk.write("update onetake.breakers set probe_at = probe_at - interval '299 s'")
    assert desk.begin(second)["refused"] == "breaker_open"
    desk.write("update onetake.breakers set probe_at = probe_at - interval '1 s'")
    assert desk.begin(second)["won"]


def test_resume_closes_every_breaker(desk: Desk) -> None:
    run_id = opened_by_failures(desk)[0]
    desk.write("update onetake.breakers set open_until = clock_timestamp() + interval '100 s'")
    desk.write("insert into onetake.breakers (scope, open_until) values ('user:tg:a', 'infinity')")
    desk.call("set_paused", paused=False, reason=None, who="op")
    assert desk.begin(run_id)["won"]
    assert desk.ask("tg:a")["kind"] == "accepted"
    assert desk.call("controls")["breakers"] == []
