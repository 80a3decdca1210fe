"""Money: every micro-dollar of a run is held, spent or released, and the budgets are sums over the runs."""

import pytest

from tests.ledger.client import PRICE, STATES, TOKEN, LedgerClient

POCKETS = {
    "held": ("reserved", "approved", "submitting", "uncertain", "rendering"),
    "spent": ("saved", "delivered"),
    "released": ("rejected", "canceled", "failed"),
}


@pytest.mark.parametrize("state", STATES)
def test_price_is_held_spent_or_released_according_to_the_state(client: LedgerClient, state: str) -> None:
    row = client.row(client.in_state(state))
    for pocket, states in POCKETS.items():
        assert row[f"{pocket}_microusd"] == (PRICE if state in states else 0)
    assert client.books_wrong() == []


@pytest.mark.parametrize("state", STATES)
def test_text_model_cost_is_spent_in_every_state_even_over_the_budget(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.limit("budget_day_microusd", 0)
    client.call("record_event", run_id=run_id, step="write_caption", outcome="model", cost_microusd=77)
    assert client.row(run_id)["text_microusd"] == 77
    day, month = client.budget(run_id)
    assert day["spent"] == month["spent"] == 77 + (PRICE if state in POCKETS["spent"] else 0)
    assert client.books_wrong() == []


def test_a_video_costs_its_price_plus_its_text_model_calls(client: LedgerClient) -> None:
    run_id = client.reserved()
    client.approve(run_id, cost_microusd=30)
    client.approve(run_id, cost_microusd=4)
    assert client.begin(run_id)["won"]
    client.record(run_id, "job_1")
    for caption in ("first", "second"):
        client.call(
            "record_caption",
            run_id=run_id,
            caption=caption,
            hashtags=["#a", "#b", "#c"],
            by="model",
            template={},
            cost_microusd=10,
            ms=1,
        )
    for _ in range(2):
        client.save(run_id)
        client.call("mark_notified", run_id=run_id, state="saved", delivered=True)
    row = client.row(run_id)
    assert (row["caption"], row["text_microusd"], row["spent_microusd"]) == ("first", 54, PRICE)
    assert [budget["spent"] for budget in client.budget(run_id)] == [PRICE + 54] * 2
    assert client.books_wrong() == []
    assert client.one("select sum(cost_microusd) from onetake.events") == 54


# -- another length or size


def amend(client: LedgerClient, run_id: str, price_microusd: int) -> str:
    """'amended', or the kind of the refusal."""
    answer = client.call("amend", run_id=run_id, seconds=12, size="1280x720", price_microusd=price_microusd)
    assert client.books_wrong() == []
    return "amended" if answer["amended"] else str(answer["refused"]["kind"])


def test_amending_changes_the_order_and_the_hold(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    for price_microusd in (1_200_000, 400_000, 400_000):
        assert amend(client, run_id, price_microusd) == "amended"
        assert client.row(run_id)["held_microusd"] == price_microusd
        assert [budget["held"] for budget in client.budget(run_id)] == [price_microusd] * 2
    client.call("confirm", run_id=run_id)
    order = client.begin(run_id)["order"]
    assert (order["seconds"], order["size"]) == (12, "1280x720")


@pytest.mark.parametrize("period", ["day", "month"])
def test_amended_hold_can_use_up_the_budget_exactly_but_not_exceed_it(client: LedgerClient, period: str) -> None:
    run_id = client.approved(confirm=True)
    client.limit(f"budget_{period}_microusd", 1_000_000)
    assert amend(client, run_id, 1_000_001) == "budget_exhausted"
    assert client.row(run_id)["seconds"] == 8
    assert amend(client, run_id, 1_000_000) == "amended"


def test_amending_to_a_lower_price_works_with_an_exhausted_budget(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    client.limit("budget_day_microusd", 0)
    assert amend(client, run_id, PRICE - 1) == "amended"


def test_amending_is_refused_unless_the_run_waits_for_confirmation(client: LedgerClient) -> None:
    assert amend(client, client.approved("tg:1"), 1) == "too_late"
    run_id = client.approved("tg:2", confirm=True)
    late = client.approved("tg:3", confirm=True)
    client.age(late, 901)
    assert amend(client, late, 1) == "too_late"
    client.call("confirm", run_id=run_id)
    assert amend(client, run_id, 1) == "too_late"
    client.begin(run_id)
    assert amend(client, run_id, 1) == "too_late"
    assert client.row(run_id)["price_microusd"] == PRICE


# -- every end


@pytest.mark.parametrize("spent", [True, False])
def test_a_failed_render_is_spent_only_if_it_is_billed(client: LedgerClient, spent: bool) -> None:
    run_id = client.rendering()
    client.fail(run_id, "rendering", "render_failed", spent=spent)
    assert client.row(run_id)["spent_microusd" if spent else "released_microusd"] == PRICE
    assert client.books_wrong() == []


@pytest.mark.parametrize("state", STATES)
def test_only_a_run_in_doubt_can_be_settled_as_not_charged(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    answer = client.call("settle_not_charged", run_id=run_id, who="op", why="the invoice says so")
    assert answer["settled"] is (state == "uncertain")
    if state == "uncertain":
        assert (client.state(run_id), client.row(run_id)["reason"]) == ("failed", "not_charged")
        event = client.rows("select detail from onetake.events where step = 'settle'")[0]["detail"]
        assert (event["by"], event["why"], event["from"]) == ("op", "the invoice says so", "uncertain")
    assert client.books_wrong() == []


def test_parked_rendering_run_can_be_settled_as_not_charged(client: LedgerClient) -> None:
    run_id = client.rendering()
    client.call("park", run_id=run_id, why="render_deadline", next_look_at=None)
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    assert client.books_wrong() == []


def test_later_costs_go_to_the_budgets_of_the_runs_own_day(client: LedgerClient) -> None:
    run_id = client.rendering()
    client.write("update onetake.runs set day = '2026-10-31', month = '2026-10'")
    client.write("update onetake.budgets set period = '2026-10-31' where length(period) = 10")
    client.write("update onetake.budgets set period = '2026-10' where length(period) = 7")
    client.call("record_event", run_id=run_id, step="x", outcome="y", cost_microusd=5)
    client.save(run_id)
    assert {row["period"] for row in client.rows("select period from onetake.budgets")} == {
        "2026-10-31",
        "2026-10",
    }
    assert client.books_wrong() == []
    assert client.call("stats")["today"] is None


def test_money_constraints_only_forbid_negative_amounts(client: LedgerClient) -> None:
    query = """
        select conrelid::regclass::text as table, pg_get_constraintdef(oid) as says from pg_constraint
        where contype = 'c' and connamespace = 'onetake'::regnamespace
          and pg_get_constraintdef(oid) like '%%microusd%%'
    """
    found = client.rows(query)
    assert {row["table"] for row in found} == {"onetake.runs", "onetake.budgets"}
    assert all(row["says"].endswith(">= 0))") and row["says"].count("microusd") == 1 for row in found)


def test_failing_a_submitting_run_releases_its_hold_only_with_the_token(client: LedgerClient) -> None:
    run_id = client.submitting()
    client.fail(run_id, "submitting", "prompt_refused")
    assert client.row(run_id)["held_microusd"] == PRICE
    client.fail(run_id, "submitting", "prompt_refused", token=TOKEN)
    assert client.row(run_id)["released_microusd"] == PRICE
