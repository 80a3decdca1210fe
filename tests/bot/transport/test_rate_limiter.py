"""The budget of calls per chat and in all, on a clock of the test's own."""

import random

from bot.transport.rate_limiter import (
    ALL,
    ALL_GAP_SECONDS,
    ALL_PER_SECOND,
    CHAT_GAP_SECONDS,
    GROUP,
    PRIVATE,
    RateLimiter,
    Urgency,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(clock), clock


def test_a_chat_gets_one_call_a_second() -> None:
    limiter, clock = make()
    assert limiter.wait_for(1, Urgency.ANSWER) == 0
    limiter.count(1)
    assert 0 < limiter.wait_for(1, Urgency.ANSWER) <= CHAT_GAP_SECONDS
    assert limiter.wait_for(2, Urgency.ANSWER) <= ALL_GAP_SECONDS
    clock.now += CHAT_GAP_SECONDS
    assert limiter.wait_for(1, Urgency.ANSWER) == 0


def test_edits_run_out_of_rate_limit_before_answers() -> None:
    limiter, clock = make()
    for _ in range(PRIVATE.tick):
        limiter.count(1)
        clock.now += 2
    assert limiter.wait_for(1, Urgency.TICK) > 0
    assert limiter.wait_for(1, Urgency.CHANGE) == 0
    for _ in range(PRIVATE.change - PRIVATE.tick):
        limiter.count(1)
        clock.now += 2
    assert limiter.wait_for(1, Urgency.CHANGE) > 0
    assert limiter.wait_for(1, Urgency.ANSWER) == 0


def test_a_group_gets_fewer_than_twenty_calls_a_minute() -> None:
    limiter, clock = make()
    made = []
    while clock.now < 1300:
        if not limiter.wait_for(-5, Urgency.ANSWER):
            limiter.count(-5)
            made.append(clock.now)
        clock.now += 0.25
    assert max(sum(1 for at in made if start <= at < start + 60) for start in made) <= GROUP.answer < 20


def test_all_chats_together_get_fewer_than_thirty_calls_a_second() -> None:
    limiter, clock = make()
    dice, made = random.Random(1), []
    while clock.now < 1010:
        chat = dice.randrange(1, 500)
        if not limiter.wait_for(chat, Urgency.ANSWER):
            limiter.count(chat)
            made.append(clock.now)
        clock.now += 0.005
    assert max(sum(1 for at in made if start <= at < start + 1) for start in made) <= ALL_PER_SECOND == ALL.answer < 30


def test_flood_wait_blocks_only_its_own_scope_for_its_full_length() -> None:
    limiter, clock = make()
    limiter.silence(1, 33)
    assert limiter.wait_for(1, Urgency.ANSWER) == 33
    assert limiter.wait_for(2, Urgency.ANSWER) == 0
    clock.now += 32.9
    assert limiter.wait_for(1, Urgency.ANSWER) > 0
    clock.now += 0.1
    assert limiter.wait_for(1, Urgency.ANSWER) == 0
    limiter.silence(None, 5)
    assert limiter.wait_for(2, Urgency.ANSWER) == 5
