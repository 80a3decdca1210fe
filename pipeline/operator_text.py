"""Texts for operators, shared by the terminal and the page. Pure; English."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.formatting import usd
from pipeline.ledger.answers import Recorded
from pipeline.ledger.operators import Event, Stats
from pipeline.ledger.records import JobSource, Run, State
from providers.job import Job, JobStatus

KEPT_ANSWER_CHARACTERS_MAX = 600  # of an answer, on a page of the terminal
SEEMS_FAILED = "It seems to have failed; checking once more. Nothing is decided yet."

# Why the provider's answer is not known.
DOUBTS: Mapping[str, str] = {
    "lost": "the connection broke before the answer arrived",
    "unreadable": "the provider's answer could not be read",
    "rate_limited": "the provider answered 'too many requests', which may come after the work began",
    "process_died": "the process stopped before the answer arrived",
    "job_owned_by_another_run": "the provider answered with the job of another run",
    "job_was_another_runs": "the job found in the list turned out to be another run's",
    "adopted_job_failed": "the job found in the list failed or shows another prompt; it may belong to another run",
    "refusal_names_a_job": "the refusal names a job, so the video may have been made",
    "refusal_unreadable": "the refusal may come from a proxy and not from the provider, so the video may exist",
    "echoes_our_key": "the provider returned our own request key instead of a job id",
    "key_used_before": "the provider already has this request, so an earlier copy of it must have arrived",
    "refusal_after_the_job": "the refusal is about a job or an answer, so the video may exist",
    "refusal_of_a_lost_answer": "the refusal reports a timeout or lost connection upstream, so the video may exist",
    "refusal_of_nothing": "the refusal does not say what it refuses, so the video may exist",
    "answer_from_a_cache": "a cache returned an older answer, so the outcome of this request is unknown",
    "gateway_retried": "the gateway tried more than once, so its refusal may not be the only answer",
}

# What the last look through the provider's list says about a run in doubt.
LOOKS: Mapping[str, str] = {
    "absent": "the list does not show it; several such checks prove that it was not made",
    "answer_named_a_job": "the provider answered with a job that belongs to another run",
    "not_one_job_for_each_run": "the list shows matching jobs, but not clearly one for each run with the same order",
    "found_but_failed": "the list shows it as failed, but does not prove that it is this order",
    "prompts_hidden": "the list shows jobs that may be it, but not their prompts",
    "unowned_job": "the list shows a job that no run owns and that may be it",
    "no_list": "the provider has no list of jobs, so a person must look",
    "lookup_proves_nothing": "the provider does not know its id, but may not know a job that is still rendering either",
    "two_jobs_of_one_run": "the provider shows two jobs of this order: two paid calls, which a person must explain",
    "marker_of_two_runs": "the provider shows a job that may be this order or another one with the same marker",
    "job_owned_by_another_run": "the provider shows another run's job as this order's",
    "callback_unread": "the provider reported a job that cannot be read",
    "callback_names_no_job_of_ours": "the provider reported a job that does not look like this order",
    "list_hides_jobs": "the list does not show all jobs, according to models.toml",
    "unreadable_row": "the list has a row that cannot be read",
    "too_early": "it may still turn up",
    "record_expired": "the provider no longer shows jobs that are as old as it would be",
    "running_never_shown": "the list has never shown a job of ours while it was rendering, so it may not show this one",
    "witness_missing": "the list lacks a job of ours",
    "witness_changed": "the list shows a job of ours with other values than ordered",
    "list_out_of_order": "the list is not in the order in which our jobs were sent",
    "no_witness_before": "the list shows no job of ours from before it; absence proves nothing",
    "no_witness_after": "the list shows no job of ours from after it; the next video you buy may prove it",
}

# What the last look at a parked run's job says.
PARKED: Mapping[str, str] = {
    "job_unknown": "the provider does not know the job id that it returned",
    "job_gone": "the provider no longer knows the job",
    "job_unreadable": "the job cannot be read",
    "job_shown_otherwise": "the provider shows the job with other values than ordered; "
    "`onetake settle REF --job ID --despite` fetches it anyway",
    "render_deadline": "the job is still rendering",
    "content_unreadable": "the video cannot be fetched",
    "two_jobs": "the job failed, and a second job for the same order is unexplained",
    "provider_not_configured": "the provider or key it was ordered from is not configured now",
    "disk_full": "the disk is full, or the data folder is not writable",
}

# Why a video could not be delivered, by the name of the error that the ledger keeps.
NOT_DELIVERED: Mapping[str, str] = {
    "Unreachable": "the user has blocked the bot, or the chat no longer exists",
    "TooLarge": "Telegram does not accept a file of this size",
    "FileNotFoundError": "the file is neither on the bot's machine nor in the bucket",
}

# Why the last day is not reported as free of duplicates.
NOT_CLEAN: Mapping[str | None, str] = {
    "two_paid_calls": "no: one run has two paid calls; explain or settle the second job",
    "unexplained_job": "not proven: a job that no run owns could be one of our orders",
    "not_audited": "not proven: no complete audit in the last day",
}

# Outcomes of paid calls: singular and plural.
PAID: Mapping[str, tuple[str, str]] = {
    "made": ("video", "videos"),
    "rendering": ("rendering", "rendering"),
    "failed": ("failed", "failed"),
    "other": ("other", "others"),
}

# Why a provider's list proves nothing.
INCOMPLETE: Mapping[str, str] = {
    "no_paging": "it does not say whether there is more",
    "repeated_page": "it returned the same page twice",
    "too_many_pages": "it has too many pages",
    "list_hides_jobs": "it does not show all jobs, according to models.toml",
    "unreadable_row": "it has a row that cannot be read",
    "list_out_of_order": "it is not in the order in which our jobs were sent",
    "last_id_is_not_the_last_row": "it has pages that do not follow on from each other",
    "list_goes_on": "it names a next page without saying that there is more",
    "list_from_a_cache": "it is an older copy from a cache between here and the provider",
    "pages_of_one_row": "it has one row per page, so a gap between pages would not show",
    "older_job_not_listed": "it shows nothing from before this audit's period, so it may have lost more",
    "pages_leave_a_gap": "it has pages that do not overlap as requested, so jobs between them may be missing",
    "fewer_rows_than_it_says": "it lists fewer jobs than it claims to have",
    "empty_page_after_more": "it announced a page that was empty",
    "empty_page": "it announced a page that was empty",
    "rows_were_removed": "it lost jobs while it was read, so others may have moved between its pages",
    "rows_out_of_order": "it has a page that is not in order, so jobs between its pages may be missing",
    "pages_too_short": "it has pages that are too short to overlap, so a gap between them would not show",
    "another_page": "it returned another page than requested",
    "next_page_unreadable": "it does not say clearly where its next page is",
    "no_list": "it does not exist at this provider",
    "times_not_true": "it shows our jobs at impossible times",
    "order_not_shown": "it shows no times, and too few jobs of ours to tell which end is the newest",
}


def paid_parts(stats: Stats) -> dict[str, int]:
    """The paid calls by outcome (the names in PAID); the parts add up to all paid calls, and zeros are left out."""
    state = stats.paid_states
    parts = {
        "made": state.get(State.SAVED, 0) + state.get(State.DELIVERED, 0),
        "rendering": state.get(State.RENDERING, 0),
        "failed": state.get(State.FAILED, 0),
    }
    parts["other"] = stats.paid_calls - sum(parts.values())
    return {name: times for name, times in parts.items() if times}


def paid_words(stats: Stats) -> str:
    """`3: 2 videos, 1 rendering`, behind the words "paid calls"."""
    parts = ", ".join(f"{times:,} {PAID[name][times != 1]}" for name, times in paid_parts(stats).items())
    return f"{stats.paid_calls:,}: {parts}" if parts else "none"


def incomplete_words(why: str) -> str:
    """`list_unreadable: HTTP 503: {...}` -> `it could not be read: HTTP 503`."""
    word, _, detail = why.partition(": ")
    if word == "list_says_more":
        return f"it also returned `{detail}`, so it may be incomplete"
    if word != "list_unreadable":
        return INCOMPLETE.get(why, why)
    code = re.match(r"HTTP (\d+)", detail)
    return f"it could not be read: {f'HTTP {code[1]}' if code else detail}"


def found_words(run: Run, job_id: str, job: Job | None) -> str:
    """What settling as found did to a run. `job`: as the provider shows it; None if it does not."""
    price = usd(run.price_microusd)
    if run.file is not None:
        return f"{run.ref} is job {job_id}, and its video is here already. Nothing was changed."
    if job is None:
        return (
            f"{run.ref} is job {job_id}, which the provider does not show. Its price ({price}) stays set aside until "
            "the video is here."
        )
    if job.status in {JobStatus.FAILED, JobStatus.EXPIRED}:
        return (
            f"{run.ref} is job {job_id}, which the provider shows as {job.word or job.status.value}. Its price "
            f"({price}) stays set aside until a second check agrees."
        )
    if job.status is JobStatus.COMPLETED:
        return f"{run.ref} is job {job_id}. Its price ({price}) counts as spent; the video is ready to be fetched."
    if job.running:
        return (
            f"{run.ref} is job {job_id}. Its price ({price}) counts as spent; the video is fetched once it is rendered."
        )
    return (
        f"{run.ref} is job {job_id}, which the provider shows as {job.word or 'unknown'}. Its price ({price}) "
        "stays set aside until the video is here."
    )


def may_take_back(run: Run, events: Sequence[Event]) -> bool:
    """Whether the last settlement may still be undone. The ledger decides; this only hides a useless button."""
    last = next((event.outcome for event in reversed(events) if event.step == "settle"), None)
    if last == "not_charged":
        return run.state is State.FAILED and run.reason == "not_charged"
    found = run.state is State.RENDERING and run.job_source is JobSource.PERSON and run.file is None
    return last == "found" and found


def taken_back_words(before: Run, run: Run) -> str:
    """`before`: the run before its settlement was taken back."""
    again = "is set aside again" if before.state is State.FAILED else "stays set aside"
    state = f"rendering again, as job {run.job_id}" if run.state is State.RENDERING else "in doubt again"
    return f"The settlement was taken back: {run.ref} is {state}. {usd(run.held_microusd)} {again}."


def why_not_taken_back(run: Run, why: str | None) -> str:
    if why == "bought_again":
        return f"The user of {run.ref} has ordered the same again since, so it stays settled. Nothing was changed."
    if why == "fetched" and run.file is not None:
        return f"The video of {run.ref} is here, so it stays settled. Nothing was changed."
    if why == "fetched":
        return f"Too late: {run.ref} has changed since and is {run.state}. Nothing was changed."
    return f"Nobody has settled run {run.ref}, so there is nothing to take back. Nothing was changed."


def kept_answer_words(detail: Mapping[str, Any]) -> str:
    """What came instead of a clear answer: `HTTP 502: <html>...`, on one line."""
    status, body = detail.get("status"), " ".join(str(detail.get("body") or "").split())
    words = f"HTTP {status}" if status else "no status"
    if location := detail.get("location"):
        words += f", made at {location}"
    shown = body if len(body) <= KEPT_ANSWER_CHARACTERS_MAX else f"{body[:KEPT_ANSWER_CHARACTERS_MAX]}…"
    return f"{words}: {shown}" if shown else f"{words}, without a body"


def why_not_found(run: Run, recorded: Recorded, job_id: str) -> str:
    """Why this job was not recorded for the run, although a person named it."""
    if recorded.why == "owned":
        return f"Job {job_id} already belongs to run {recorded.owner}. Nothing was changed."
    if run.parked and run.job_id:
        return (
            f"Run {run.ref} has job {run.job_id} from the provider's own answer; another cannot replace it. "
            "Nothing was changed."
        )
    return why_not_settled(run)


def why_not_settled(run: Run, why: str | None = None) -> str:
    """`why`: the ledger's reason. A repeated call, whose first answer was lost, finds the run already settled."""
    if run.reason == "not_charged":
        return f"Run {run.ref} is settled as not charged: {usd(run.released_microusd)} is free again."
    if why == "changed":
        return f"{run.ref} has changed since it was shown: look again. Nothing was changed."
    if run.state is State.SUBMITTING:
        return f"Run {run.ref} is being bought right now; try again in two minutes. Nothing was changed."
    return (
        f"Run {run.ref} is neither in doubt nor parked, so there is nothing to settle: it is {run.state}. "
        "Nothing was changed."
    )


def proposed_words(events: Sequence[Event]) -> str:
    """Ids of the jobs that the last look through the list showed and that may be the run's; empty if there are none."""
    last = next((event for event in reversed(events) if "proposed" in event.detail), None)
    return ", ".join(last.detail["proposed"]) if last is not None else ""


def unfetched_words(events: Sequence[Event]) -> str:
    """What the provider last said instead of giving the video or the job; empty if it never refused."""
    last = next((event for event in reversed(events) if event.outcome == "not_fetched"), None)
    if last is None:
        return ""
    status, words = last.detail.get("status"), str(last.detail.get("words") or "")
    return f"HTTP {status}: {words}" if status and str(status) not in words else words


def look_words(run: Run) -> str:
    """Why the last look, through the list or at a parked run's job, settled nothing; empty before the first."""
    says = run.look_says or ""
    if run.state is State.RENDERING:
        return PARKED.get(says, "") if run.parked else ""
    return LOOKS.get(says) or (f"the list {incomplete_words(says).removeprefix('it ')}" if says else "")


def doubt_words(run: Run) -> str:
    """Why the outcome of its order is unknown."""
    word = run.doubt or "lost"
    if word.startswith("http_"):
        return f"the provider answered HTTP {word.removeprefix('http_')}, which does not say whether it was made"
    return DOUBTS.get(word, word.replace("_", " "))


def delivery_words(run: Run, events: Sequence[Event]) -> str:
    """The outcome of the last delivery attempt; empty if none failed and nobody asked for another."""
    asked = next(
        (event for event in reversed(events) if (event.step, event.outcome) == ("deliver", "asked_again")), None
    )
    if run.state is State.DELIVERED:
        return "Delivered: the user has the video." if asked else ""
    if run.state is not State.SAVED or run.audience.get("kind") == "terminal":
        return ""
    if run.told_state is State.SAVED:
        last = next((event for event in reversed(events) if event.step == "tell" and event.outcome == "saved"), None)
        why = str(last.detail.get("why", "")) if last else ""
        words = NOT_DELIVERED.get(why, f"Telegram refused it ({why})" if why else "no reason was recorded")
        return f"It could not be delivered: {words}. The video stays here, and nothing more is charged."
    return "Delivery is under way; it is retried for half an hour if Telegram does not accept it." if asked else ""
