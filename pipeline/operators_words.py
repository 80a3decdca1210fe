"""Words for operators that the terminal and the page both say. Pure; English."""

from collections.abc import Mapping

from pipeline.records import Run

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
    "audit": "no: the audit found two paid calls for one run",
    "not_audited": "not proven: no complete audit in the last day",
}


def doubt_words(run: Run) -> str:
    """Why it is not known what became of its order."""
    word = run.doubt or "lost"
    if word.startswith("http_"):
        return f"the provider answered HTTP {word.removeprefix('http_')}, which does not say if it was made"
    return DOUBTS.get(word, word.replace("_", " "))
