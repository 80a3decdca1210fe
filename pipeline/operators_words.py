"""Words for operators that the terminal and the page both say. Pure; English."""

import re
from collections.abc import Mapping

from pipeline.amounts import usd
from pipeline.ledger import Recorded
from pipeline.records import Run, State

# Why the provider's answer is not known.
DOUBTS: Mapping[str, str] = {
    "lost": "the connection broke before the answer came",
    "unreadable": "the provider's answer could not be read",
    "rate_limited": "the provider said 'too many requests', which may come after the work began",
    "process_died": "the process that asked ended before the answer came",
    "job_owned_by_another_run": "the provider answered with the job of another run",
    "job_was_another_runs": "the job it had found turned out to be another run's",
}

# Why it is not said that the last day was without a duplicate.
NOT_CLEAN: Mapping[str | None, str] = {
    "second_answer": "no: the provider answered one run with a second job",
    "audit": "no: an audit found two paid calls for one run, or a job that may be a second one",
    "not_audited": "not proven: no complete audit in the last day",
}

# Why a provider's list proves nothing.
INCOMPLETE: Mapping[str, str] = {
    "no_paging": "it does not say whether there is more",
    "repeated_page": "it gave the same page twice",
    "too_many_pages": "it has too many pages",
    "list_hides_jobs": "it does not show all jobs, says models.toml",
}


def incomplete_words(why: str) -> str:
    """`list_unreadable: Error code: 503 - {...}` -> `it could not be read: HTTP 503`."""
    word, _, detail = why.partition(": ")
    if word != "list_unreadable":
        return INCOMPLETE.get(why, why)
    code = re.match(r"Error code: (\d+)", detail)
    return f"it could not be read: {f'HTTP {code[1]}' if code else detail}"


def found_words(run: Run, job_id: str) -> str:
    """What became of a run that a person found."""
    if run.file is not None:
        return f"{run.ref} is job {job_id}, and its video is here already. Nothing was changed."
    return f"{run.ref} is job {job_id}. Its price ({usd(run.price_microusd)}) counts; the video is fetched now."


def why_not_found(run: Run, recorded: Recorded, job_id: str) -> str:
    """Why this job was not taken for the run's, whatever a person says."""
    if recorded.why == "owned":
        return f"Job {job_id} is run {recorded.owner}'s already. Nothing was changed."
    if run.parked and run.job_id:
        return (
            f"Run {run.ref} has job {run.job_id} by the provider's own answer; another cannot replace it. "
            "Nothing was changed."
        )
    return why_not_settled(run)


def why_not_settled(run: Run, why: str | None = None) -> str:
    """`why`: the ledger's word. It may be settled already, by this very call, asked again for its answer was lost."""
    if run.reason == "not_charged":
        return f"Run {run.ref} is settled as not charged: {usd(run.released_microusd)} is free again."
    if why == "changed":
        return f"More is known of {run.ref} than was shown: look again. Nothing was changed."
    if run.state is State.SUBMITTING:
        return f"Run {run.ref} is being bought at this moment; try again in two minutes. Nothing was changed."
    return (
        f"Run {run.ref} is neither in doubt nor parked, so there is nothing to settle: it is {run.state}. "
        "Nothing was changed."
    )


def doubt_words(run: Run) -> str:
    """Why it is not known what became of its order."""
    word = run.doubt or "lost"
    if word.startswith("http_"):
        return f"the provider answered HTTP {word.removeprefix('http_')}, which does not say if it was made"
    return DOUBTS.get(word, word.replace("_", " "))
