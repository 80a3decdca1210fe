"""The circuit breaker: too many submissions or failures open it, half open it lets one through, resume closes it."""

import pytest

from tests.ledger.client import TOKEN, LedgerClient


def test_the_fourth_submission_of_a_user_in_a_minute_opens_that_users_breaker(client: LedgerClient) -> None:
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 9)
    for nth in range(3):
        client.submitting(prompt=f"prompt {nth}")
    fourth = client.approved(prompt="prompt 4")
    answer = client.begin(fourth)
    assert (answer["won"], answer["refused"]) == (False, "breaker_open")
    query = """
        select open_until - clock_timestamp() between '299 s' and '300 s' from onetake.breakers
        where scope = 'user:tg:1'
    """
    assert client.one(query)
    assert client.row(fourth)["deferred_by"] == "breaker_open"
    assert client.ask(prompt="prompt 5")["kind"] == "breaker_open"
    assert client.begin(client.approved("tg:2"))["won"], "it stops that user, not the service"


def room_after(client: LedgerClient, seconds: float, user: str = "tg:1") -> bool:
    """Whether there is room that long (to the microsecond) after the first submission; rolled back at once."""
    query = """
        select onetake.full_breaker(%s, min(submitting_at) + make_interval(secs => %s)) is null as room
        from onetake.runs
    """
    with client.calls.transaction(force_rollback=True):
        found = client.calls.execute(query.encode(), (user, seconds)).fetchone()
    return bool(found and found["room"])


def test_breaker_counts_a_submission_for_exactly_sixty_seconds(client: LedgerClient) -> None:
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 9)
    for nth in range(3):
        client.submitting(prompt=f"prompt {nth}")
    assert room_after(client, 59.999999) is False
    assert room_after(client, 60) is True


def test_the_sixty_first_submission_in_a_minute_opens_the_breaker_for_all_users(client: LedgerClient) -> None:
    client.limit("budget_day_microusd", 10**9)
    for nth in range(60):
        client.submitting(f"tg:{nth}")
    last = client.approved("tg:61")
    assert client.begin(last)["refused"] == "breaker_open"
    assert client.one("select cause from onetake.breakers where scope = 'all'") == "submissions"
    assert client.ask("tg:62")["kind"] == "breaker_open"


@pytest.mark.parametrize("how", ["unclear", "refused", "render"])
def test_the_fifth_provider_failure_in_a_row_opens_the_breaker(client: LedgerClient, how: str) -> None:
    for nth in range(5):
        assert client.ask(f"tg:probe{nth}", price_microusd=1)["kind"] == "accepted"
        provider_fails(client, f"tg:{nth}", how)
    assert client.one("select cause from onetake.breakers where scope = 'all'") == "failures"
    assert client.ask("tg:6")["kind"] == "breaker_open"


def provider_fails(
    client: LedgerClient, user: str, how: str = "unclear", *, reason: str = "rate_limited", prompt: str = "a red fox"
) -> None:
    if how == "unclear":
        client.uncertain(user, prompt)
    elif how == "refused":
        assert client.fail(client.submitting(user, prompt), "submitting", reason, token=TOKEN, breaker="answer")[
            "moved"
        ]
    else:
        assert client.fail(client.rendering(user, prompt), "rendering", "render_failed", breaker="render")["moved"]


@pytest.mark.parametrize("how", ["unclear", "refused", "render"])
def test_failures_of_one_user_open_only_that_users_breaker(client: LedgerClient, how: str) -> None:
    """A prompt that the provider cannot render, sent again and again, must not stop everybody."""
    client.unlimited()
    client.limit("breaker_failures", 5)
    for nth in range(5):
        provider_fails(client, "tg:1", how, reason="forbidden", prompt=f"prompt {nth}")
    refused = client.ask("tg:1", "one more")
    assert (refused["kind"], refused["what"]) == ("breaker_open", "user")
    assert client.one("select cause from onetake.breakers where scope = 'user:tg:1'") == "failures"
    for nth in range(4):
        provider_fails(client, f"tg:other{nth}", how, reason="forbidden")
    assert client.begin(client.approved("tg:2"))["won"], "what that user did counts no more"
    provider_fails(client, "tg:3", how, reason="forbidden")
    assert client.ask("tg:4")["kind"] == "breaker_open"
    assert client.ask("tg:4")["what"] is None


def test_failures_of_one_user_count_once_towards_the_breaker_for_all_users(client: LedgerClient) -> None:
    client.unlimited()
    client.limit("breaker_failures", 5)
    for nth in range(4):
        provider_fails(client, "tg:1", prompt=f"prompt {nth}")
    provider_fails(client, "tg:2")
    assert client.ask("tg:3")["kind"] == "accepted"
    for nth in range(3):
        provider_fails(client, f"tg:other{nth}")
    assert client.ask("tg:4")["kind"] == "breaker_open"


@pytest.mark.parametrize("reason", ["unauthorized", "no_credit", "not_found", "rate_limited", "never_connected"])
def test_failures_unrelated_to_the_prompt_open_the_breaker_for_all_users(client: LedgerClient, reason: str) -> None:
    client.unlimited()
    client.limit("breaker_failures", 5)
    for nth in range(5):
        provider_fails(client, "tg:1", "refused", reason=reason, prompt=f"prompt {nth}")
    assert client.ask("tg:2")["kind"] == "breaker_open"


def test_failed_probe_after_a_burst_of_submissions_lets_the_next_run_probe(client: LedgerClient) -> None:
    """The breaker opened for a burst of orders, without failures; one user's failure does not open it again."""
    client.unlimited()
    probe, second = client.approved("tg:1"), client.approved("tg:2")
    client.write(
        "update onetake.breakers set open_until = clock_timestamp(), cause = 'submissions' where scope = 'all'"
    )
    assert client.begin(probe)["won"]
    assert client.begin(second)["refused"] == "breaker_open"
    client.doubt(probe)
    assert client.begin(second)["won"]


@pytest.mark.parametrize("good", ["made", "a clear no"])
def test_clear_answer_resets_the_failure_count(client: LedgerClient, good: str) -> None:
    for nth in range(4):
        provider_fails(client, f"tg:{nth}")
    if good == "made":
        client.rendering("tg:good")
    else:
        client.fail(client.submitting("tg:good"), "submitting", "bad_request", token=TOKEN)
    provider_fails(client, "tg:5")
    assert client.ask("tg:6")["kind"] == "accepted"


def test_saved_render_resets_the_count_of_failed_renders(client: LedgerClient) -> None:
    for nth in range(4):
        provider_fails(client, f"tg:{nth}", "render")
    client.saved("tg:good")
    provider_fails(client, "tg:5", "render")
    assert client.ask("tg:6")["kind"] == "accepted"


def opened_by_failures(client: LedgerClient) -> list[str]:
    """Three approved runs, and a breaker that has just become half open."""
    runs = [client.approved(f"tg:waiting{nth}", price_microusd=1) for nth in range(3)]
    for nth in range(5):
        provider_fails(client, f"tg:{nth}")
    assert client.begin(runs[0])["refused"] == "breaker_open"
    client.write("update onetake.breakers set open_until = clock_timestamp()")
    return runs


def test_half_open_breaker_lets_one_run_through_and_its_success_closes_it(client: LedgerClient) -> None:
    probe, second, third = opened_by_failures(client)
    assert client.begin(probe)["won"]
    assert client.begin(second)["refused"] == "breaker_open"
    client.record(probe, "job_1")
    assert client.begin(second)["won"]
    assert client.begin(third)["won"]
    assert client.call("controls")["breakers"] == []


def test_a_probe_that_fails_opens_the_breaker_again(client: LedgerClient) -> None:
    probe, second, _ = opened_by_failures(client)
    assert client.begin(probe)["won"]
    client.doubt(probe)
    assert client.begin(second)["refused"] == "breaker_open"
    assert client.one("select open_until > clock_timestamp() + '290 s' from onetake.breakers where scope = 'all'")


def test_probe_that_was_never_sent_lets_the_next_run_probe(client: LedgerClient) -> None:
    probe, second, _ = opened_by_failures(client)
    assert client.begin(probe)["won"]
    client.fail(probe, "submitting", "never_sent", token=TOKEN)
    assert client.begin(second)["won"]


def test_probe_whose_process_died_expires_after_five_minutes(client: LedgerClient) -> None:
    probe, second, _ = opened_by_failures(client)
    assert client.begin(probe)["won"]
    client.write("update onetake.breakers set probe_at = probe_at - interval '299 s'")
    assert client.begin(second)["refused"] == "breaker_open"
    client.write("update onetake.breakers set probe_at = probe_at - interval '1 s'")
    assert client.begin(second)["won"]


def test_resume_closes_every_breaker(client: LedgerClient) -> None:
    run_id = opened_by_failures(client)[0]
    client.write("update onetake.breakers set open_until = clock_timestamp() + interval '100 s'")
    client.write("insert into onetake.breakers (scope, open_until) values ('user:tg:a', 'infinity')")
    client.call("set_paused", paused=False, reason=None, who="op")
    assert client.begin(run_id)["won"]
    assert client.ask("tg:a")["kind"] == "accepted"
    assert client.call("controls")["breakers"] == []
