"""Whether a refused download means that there is no clip, or only that there is none yet. Pure.

A page that calls a job failed may be about an attempt that is being retried; the clip's own address then says so
(rule 2).
"""

import re

from providers.refusals.words import UPSTREAM, plain

GONE = frozenset({404, 410})  # these suffice without words; 400, 409 and 422 need words
WORK = r"(?:rendering|processing|generating|running)"
UNDER_WAY = re.compile(
    rf"\bin ?progress\b|(?<!while )\b{WORK}\b(?! (?:has )?(?:fail|error|time))|\bqueued?\b|\bpending\b"
    r"|\bretry|\bretried\b|\btry again\b"
)
NOT_YET = re.compile(r"\bnot (?:\w+ )?(?:ready|finished|complete|completed|done|available)\b|\byet\b|\bunfinished\b")
FAILED = re.compile(r"\bfail|\bexpired?\b|\bcancell?ed\b|\bdeleted\b")
NONE = re.compile(r"\bnot found\b|\bno (?:\w+ )?(?:content|video|file|job|task)\b|\bnot exist\b|\bgone\b|\bno longer\b")

# "Please try again" does not promise a retry.
REPEATED = re.compile(
    r"\bre ?queued?\b|\bretrying\b|\b(?:will|being|to) (?:be )?(?:retried|retry|repeated|restarted|resubmitted)\b"
    r"|自动重试|正在重试"
    r"|\bpreempted\b|\bresum(?:e|es|ed|ing)\b|\breschedul|\b(?:on|to) another (?:node|worker|region|machine|gpu)\b"
)
# A render may time out too: only a timeout while reading is not the job's own.
READ_FAILED = re.compile(
    r"\b(?:read|connect|connection|gateway|request|response|pool) time ?d? ?out\b|\bbad gateway\b"
    r"|\bconnection (?:was )?(?:reset|aborted|refused|closed|lost|error)\b"
    r"|\b(?:service|server|gateway|backend) (?:is )?(?:temporarily )?unavailable\b"
    r"|\bi o timeout\b|^eof$|\bunexpected eof\b|\bfetch failed\b|\bpremature close\b|\bcontext deadline exceeded\b"
    r"|查询(?:任务)?失败|上游|время ожидания шлюза"
)
TURNED_AWAY = re.compile(r"\btoo many requests\b|\brate limit|\bunauthori[sz]ed\b|\bapi key\b|\b403 forbidden\b")
NOT_FOUND = re.compile(r"\b(?:not|t) (?:found|exist)\b")


def will_be_repeated(failure: str) -> bool:
    """Whether a job's failure message says that it will be retried."""
    return bool(REPEATED.search(plain(failure)))


def is_about_reading(failure: str) -> bool:
    """Whether the message is about looking the job up: a gateway may report its own error in the form of a job."""
    said = plain(failure)
    return any(pattern.search(said) for pattern in (NOT_FOUND, READ_FAILED, UPSTREAM, TURNED_AWAY))


def is_absent(status: int, words: str, failure: str) -> bool:
    """Whether there is no clip. `words`: the refusal's. `failure`: the job's own; a refusal that repeats it agrees."""
    said = plain(words)
    if UNDER_WAY.search(said) or (NOT_YET.search(said) and not FAILED.search(said)):
        return False
    repeats = bool(said) and said in plain(failure)
    return status in GONE or repeats or bool(FAILED.search(said) or NONE.search(said))
