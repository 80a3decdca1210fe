"""Messages about refused requests, and about runs that ended or are in doubt. Pure.

Each one says what happened, whether anything was charged, what to do, and when ordering reopens. An unknown reason
from the ledger gets a general message; it is never shown raw.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from markupsafe import Markup

from bot.translations import N_, Words
from pipeline.formatting import lasting
from pipeline.ledger.records import Run, State
from steps.check_limits import PromptProblem, RefusalKind, Refused

NOTHING = N_("Nothing was charged.")
NOT_AGAIN = N_("It was not ordered or charged again.")
NOTHING_FOR_THIS = N_("This request was not charged.")  # the other run may cost something
TRY_AGAIN = N_("Tap Try again for a new attempt.")
SAY_DIFFERENTLY = N_("Rephrase your prompt and send it again with /create.")
CHANGE_IT = N_("Tap Change and rephrase your prompt.")
FEWER_WORDS = N_("Tap Change and shorten your prompt.")
OPERATOR = N_("Only the people who run this bot can fix this. They have been notified; please try again later.")
REASON_CHARACTERS_MAX = 50  # a refusal must fit into an alert of 200 characters

PROMPT_PROBLEMS: Mapping[PromptProblem, str] = {
    PromptProblem.EMPTY: N_("I could not read any words in that. Send /create and what the video should show."),
    PromptProblem.TOO_LONG: N_("That prompt has more than 4000 characters, which is too long. Send a shorter one."),
    PromptProblem.CONTROL_CHARACTERS: N_(
        "That prompt contains invisible characters, perhaps from copying. Type it again and send it with /create."
    ),
}

# Why a run failed: what happened, and what to do. The amount charged is on the run itself.
FAILURES: Mapping[str, tuple[str, str]] = {
    "text_model_unreachable": (N_("The prompt checker could not be reached."), TRY_AGAIN),
    "text_model_refused": (N_("The prompt checker declined to review this prompt."), CHANGE_IT),
    "text_model_unusable": (N_("The prompt checker gave no usable answer."), TRY_AGAIN),
    "prompt_refused": (N_("The video maker refused the prompt."), CHANGE_IT),
    "bad_request": (N_("The video maker did not accept the request."), OPERATOR),
    "unauthorized": (N_("The video maker did not accept our key."), OPERATOR),
    "no_credit": (N_("Our account with the video maker has no credit left."), OPERATOR),
    "forbidden": (N_("Our key is not allowed to make videos at the video maker."), OPERATOR),
    "not_found": (N_("The video maker no longer offers this model."), OPERATOR),
    "too_large": (N_("The request was too large for the video maker."), FEWER_WORDS),
    "rate_limited": (N_("The video maker is too busy right now."), N_("Tap Try again in a few minutes.")),
    "never_connected": (N_("The video maker could not be reached."), N_("Tap Try again in a few minutes.")),
    "never_sent": (N_("Our machine was too slow, so this was never ordered."), TRY_AGAIN),
    "not_made": (N_("The answer got lost, and the video maker's records show that nothing was made."), TRY_AGAIN),
    "not_charged": (N_("The people who run this bot looked into it: nothing was made."), TRY_AGAIN),
    "render_failed": (
        N_("The video maker could not make this video."),
        N_("Tap Try again, or tap Change and rephrase your prompt."),
    ),
    "expired": (
        N_("The video was made, but the video maker no longer has its file, so I cannot send it to you."),
        N_(
            "The people who run this bot have been notified; ask them about a refund. Try again orders another video, "
            "at its price."
        ),
    ),
    "disk_full": (N_("Our machine cannot store videos right now."), OPERATOR),
    "already_sent": (
        N_("Your video was already ordered once, before our records were restored from a backup."),
        N_("Ask the people who run this bot: they can look up that order."),
    ),
    "not_sold_here": (N_("The bot's account at the video maker was changed before this was ordered."), TRY_AGAIN),
    "paused": (N_("Ordering is paused, and the pause lasted too long."), N_("Tap Try again later.")),
    "breaker_open": (
        N_("Ordering is stopped for now, after too many orders or failures."),
        N_("Tap Try again in a few minutes."),
    ),
    "gave_up": (N_("I tried five times but could not place the order."), TRY_AGAIN),
}
UNKNOWN_FAILURE = (N_("Your video could not be finished."), TRY_AGAIN)
# Failures that the same prompt would repeat.
IN_OTHER_WORDS_ONLY = frozenset(reason for reason, (_, todo) in FAILURES.items() if todo in {CHANGE_IT, FEWER_WORDS})


def reopening(words: Words, until: datetime | None, now: datetime) -> Markup:
    """When ordering reopens, as a time from now, which is right in every time zone."""
    if until is None:
        return words("You can order again when the people who run this bot allow it.")
    return words("You can order again in {time}.", time=lasting(max(1.0, (until - now).total_seconds())))


def _mismatch(_: Refused, words: Words, __: datetime) -> Markup:
    return words("This button or message was already used for another video. For something else, send a new /create.")


def _blocked(refused: Refused, words: Words, _: datetime) -> Markup:
    why = words(" ({reason})", reason=refused.reason[:REASON_CHARACTERS_MAX]) if refused.reason else ""
    return words("You cannot order videos here: the people who run this bot have blocked you{why}.", why=why)


def _not_invited(_: Refused, words: Words, __: datetime) -> Markup:
    return words("For now, only invited people can order videos here. We are opening gradually; try again another day.")


def _paused(refused: Refused, words: Words, _: datetime) -> Markup:
    why = words(": {reason}", reason=refused.reason[:REASON_CHARACTERS_MAX].rstrip(".")) if refused.reason else ""
    return words(
        "Ordering is paused{why}. Check /limits from time to time, and try again when the pause is over.",
        why=why,
    )


def _breaker_open(refused: Refused, words: Words, now: datetime) -> Markup:
    if refused.what == "user":
        return words(
            "Too many of your orders came at once or failed one after another. {reopening}",
            reopening=reopening(words, refused.until, now),
        )
    return words(
        "Ordering was stopped automatically after too many orders or failures across all users. {reopening}",
        reopening=reopening(words, refused.until, now),
    )


def _duplicate(refused: Refused, words: Words, now: datetime) -> Markup:
    if refused.what == "waits_for_tap":
        return _busy(refused, words, now)
    if refused.what == "unfinished" or refused.until is None:
        return words(
            "You just asked for the same video: {ref} is still in progress. It was not ordered again. See /status.",
            ref=refused.of_ref,
        )
    return words(
        "You asked for the same video a moment ago: {ref}. It was not ordered again. For another take, tap Again "
        "below that video, or send your request again in {time}.",
        ref=refused.of_ref,
        time=lasting(max(1.0, (refused.until - now).total_seconds())),
    )


def _busy(refused: Refused, words: Words, _: datetime) -> Markup:
    if refused.what == "waits_for_tap":
        return words(
            "Your video {ref} is waiting for you to tap Create on its card, in the chat where you asked for it. Tap "
            "it there, or cancel with /cancel, before you order another.",
            ref=refused.of_ref,
        )
    return words(
        "Your video {ref} is not finished yet. You can order another one when it is; /status shows its progress.",
        ref=refused.of_ref,
    )


def _cooldown(refused: Refused, words: Words, now: datetime) -> Markup:
    left = max(1.0, (refused.until - now).total_seconds()) if refused.until else 1.0
    return words("You are sending requests too quickly. Send this one again in {time}.", time=lasting(left))


def _daily_limit(refused: Refused, words: Words, now: datetime) -> Markup:
    if refused.what == "rejected_prompts":
        return words(
            "Too many of your prompts were turned down today. {reopening}",
            reopening=reopening(words, refused.until, now),
        )
    if refused.what == "canceled_drafts":
        return words(
            "You canceled too many drafts today, or let them expire. {reopening}",
            reopening=reopening(words, refused.until, now),
        )
    return words("You have used all your videos for today. {reopening}", reopening=reopening(words, refused.until, now))


def _budget_exhausted(refused: Refused, words: Words, now: datetime) -> Markup:
    if refused.what == "month":
        return words(
            "This bot's monthly budget, shared by all users, has no room left for this video. {reopening}",
            reopening=reopening(words, refused.until, now),
        )
    return words(
        "This bot's daily budget, shared by all users, has no room left for this video. {reopening}",
        reopening=reopening(words, refused.until, now),
    )


REFUSALS: Mapping[RefusalKind, Callable[[Refused, Words, datetime], Markup]] = {
    RefusalKind.IDEMPOTENCY_MISMATCH: _mismatch,
    RefusalKind.BLOCKED: _blocked,
    RefusalKind.NOT_INVITED: _not_invited,
    RefusalKind.PAUSED: _paused,
    RefusalKind.BREAKER_OPEN: _breaker_open,
    RefusalKind.DUPLICATE: _duplicate,
    RefusalKind.BUSY: _busy,
    RefusalKind.COOLDOWN: _cooldown,
    RefusalKind.DAILY_LIMIT: _daily_limit,
    RefusalKind.BUDGET_EXHAUSTED: _budget_exhausted,
}


OF_ANOTHER = frozenset({RefusalKind.IDEMPOTENCY_MISMATCH, RefusalKind.DUPLICATE, RefusalKind.BUSY})


def refusal(refused: Refused, words: Words, now: datetime) -> Markup:
    money = NOTHING_FOR_THIS if refused.kind in OF_ANOTHER else NOTHING
    return words("{what} {money}", what=REFUSALS[refused.kind](refused, words, now), money=words(money))


def prompt_problem(problem: PromptProblem, words: Words) -> Markup:
    return words("{what} {money}", what=words(PROMPT_PROBLEMS[problem]), money=words(NOTHING))


def money(run: Run, words: Words) -> Markup:
    """What was charged for an ended run."""
    if run.spent_microusd:
        return words("{price} was charged.", price=words.usd(run.spent_microusd))
    uncharged = NOT_AGAIN if run.reason == "already_sent" else NOTHING
    return words(uncharged)


def failure(run: Run, words: Words) -> Markup:
    happened, todo = FAILURES.get(run.reason or "", UNKNOWN_FAILURE)
    return words("{happened} {money} {todo}", happened=words(happened), money=money(run, words), todo=words(todo))


def canceled(run: Run, words: Words) -> Markup:
    if run.reason == "not_confirmed":
        return words(
            "You did not tap Create in time, so your video was canceled. Nothing was charged. Tap Try again to "
            "continue."
        )
    if run.reason == "edited":
        return words("Replaced by your new prompt. Nothing was charged.")
    return words("Canceled. Nothing was charged. Tap Try again if you change your mind.")


def with_demo(text: Markup, words: Words, *, demo: bool) -> Markup:
    """In a demo, adds that nothing is really charged."""
    if not demo:
        return text
    return Markup("\n\n").join([text, words("<i>Demo: the video maker is simulated, nothing is really charged.</i>")])


def doubt(run: Run, words: Words) -> Markup:
    """A run in doubt: it is not known whether the order was accepted."""
    if run.parked:
        return words(
            "The video maker's answer got lost, and its records do not show whether your video was made. The people "
            "who run this bot have been notified. {price} stays set aside; your video will not be ordered twice. You "
            "don't need to do anything; I will write to you here. Ref {ref}.",
            price=words.usd(run.held_microusd),
            ref=run.ref,
        )
    return words(
        "The video maker's answer got lost. I am checking whether your video was made; it will not be ordered twice. "
        "{price} stays set aside in the meantime. You don't need to do anything; I will write to you here. Ref {ref}.",
        price=words.usd(run.held_microusd),
        ref=run.ref,
    )


def late(run: Run, words: Words) -> Markup:
    """A parked render: far past its time, looked at less and less often."""
    return words(
        "This is taking far longer than it should. Your video was ordered once and will not be ordered again; if it "
        "turns up, you will get it here. {price} stays set aside until then, or until it is certain that no video was "
        "made. You don't need to do anything. Ref {ref}.",
        price=words.usd(run.held_microusd),
        ref=run.ref,
    )


STATE_WORDS: Mapping[State, str] = {
    State.RESERVED: N_("the prompt is being checked"),
    State.APPROVED: N_("about to be ordered"),
    State.SUBMITTING: N_("being ordered"),
    State.UNCERTAIN: N_("I am checking whether it was made"),
    State.RENDERING: N_("rendering"),
    State.SAVED: N_("ready, on its way to you"),
    State.DELIVERED: N_("delivered"),
    State.REJECTED: N_("turned down"),
    State.CANCELED: N_("canceled"),
    State.FAILED: N_("ended without a video"),
}


def waits_for_create(run: Run) -> bool:
    return run.state is State.APPROVED and run.needs_confirmation and run.confirmed_at is None


def state(run: Run, words: Words) -> Markup:
    if waits_for_create(run):
        return words("waiting for a tap on Create")
    if run.state is State.SAVED and run.told_state is State.SAVED:
        return words("ready, but could not be delivered; see /videos")
    if run.state is State.RENDERING and run.failing_since is not None:
        return words("seems to have failed; I am checking once more")
    return words(STATE_WORDS[run.state])
