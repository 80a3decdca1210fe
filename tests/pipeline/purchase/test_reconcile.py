"""When a request of ours is over, and when a run in doubt is looked at again."""

from datetime import timedelta

from tests.support.fixtures import quick_waits


def test_request_is_over_after_submit_connect_request_and_slack_seconds() -> None:
    waits = quick_waits(
        SUBMIT_DEADLINE_SECONDS="10",
        CONNECT_TIMEOUT_SECONDS="5",
        REQUEST_TIMEOUT_SECONDS="60",
        REQUEST_SLACK_SECONDS="3",
    )
    assert waits.request_over == timedelta(seconds=78)
