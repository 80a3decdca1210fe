"""The kinds of faults by target, and those that a seed draws. `README.md` explains each.

One entry of `SEEDED` is drawn per request; an entry listed twice is drawn twice as often. Drawn faults are transient:
lasting lies are habits, which are never drawn here.
"""

from collections.abc import Mapping
from typing import Any

from simulator.settings import WORDS

Params = Mapping[str, Any]

WIRE = ("status", "drop", "hang", "garbage", "half_answer", "slow", "slow_headers", "redirect")
BODIES = ("bom", "html", "charset", "cut_utf8", "gzip_bomb", "cut_chunked", "cut_clean", "endless")
RUDE = (*WIRE, *BODIES)
JOB_LIES = ("lie", "enveloped", "unknown_status", "other_id", "anothers", "shows_failed", "shows_expired")
CLIPS = ("expired", "truncated", "not_mp4", "grows", "forbidden", "lie", *WORDS["clip_lie"])

KINDS: Mapping[str, tuple[str, ...]] = {
    "create": (
        "made_then_drop",
        "made_then_timeout",
        "made_late",
        "drop_before",
        "timeout_before",
        "half_answer",
        "status",
        "garbage_json",
        "id_missing",
        "error_body",
        "slow_headers",
        "slow",
        "redirect",
        *BODIES,
        *JOB_LIES,
        "idless",
        "echoes_key",
        "job_in_error",
        "failed_job",
        "refused",
        "repeated_by_proxy",
        "gateway_retried",
    ),
    "retrieve": (*RUDE, *JOB_LIES, "idless", "echo", "not_found", "job_in_error"),
    "list": (
        *RUDE,
        "repeated_page",
        "no_prompt",
        "missing_job",
        "shifted",
        "skipped",
        "lie",
        "empty",
        "stale",
        "shuffled",
        "foreign",
        "odd_rows",
        "odd_body",
    ),
    "content": (*RUDE, *CLIPS, "file", "of_job"),
    "file": (*RUDE, *CLIPS),
    "chat": (*RUDE, "refusal", "invalid_json", "wrong_schema", "cut_short"),
    "render": ("fails", "stuck", "unknown_status", "slow"),
    "telegram": (
        "flood",
        "done_then_drop",
        "drop_before",
        "hang",
        "status",
        "conflict",
        "slow",
        "forget_offset",
        "half_answer",
        "garbage",
    ),
    "rest": (*WIRE, "drop_before", "done_then_drop"),
    "storage": (*WIRE, "drop_before", "done_then_drop"),
}

_READ_TROUBLE: tuple[tuple[str, Params], ...] = (
    ("status", {"status": 500}),
    ("status", {"status": 429, "retry_after": 1}),
    ("drop", {}),
    ("half_answer", {}),
    ("garbage", {}),
    ("slow_headers", {"seconds": 0.3}),
)

_RUDE_READ: tuple[tuple[str, Params], ...] = (
    *_READ_TROUBLE,
    ("html", {"status": 502}),
    ("html", {}),
    ("bom", {}),
    ("charset", {}),
    ("cut_utf8", {}),
    ("cut_chunked", {}),
    ("cut_clean", {}),
    ("gzip_bomb", {"megabytes": 20}),
)

_CLIP_TROUBLE: tuple[tuple[str, Params], ...] = (
    *_READ_TROUBLE,
    ("truncated", {}),
    ("not_mp4", {}),
    ("expired", {"status": 404}),
    ("expired", {"status": 410}),
    ("forbidden", {}),
    ("cut_chunked", {}),
    ("cut_clean", {}),
    ("cut_clean", {"framing": "close"}),
    ("cut_clean", {"framing": "length"}),
    ("ftyp_only", {}),
    ("no_moov", {}),
    ("box_overrun", {}),
    ("html", {}),
    ("json_error", {}),
    ("open_mdat_cut", {}),
    ("one_byte_mdat", {}),
    ("fragment_lost", {}),
    ("gzip_bomb", {"megabytes": 20}),
)

SEEDED: Mapping[str, tuple[tuple[str, Params], ...]] = {
    "create": (
        ("made_then_drop", {}),
        ("made_then_timeout", {}),
        ("drop_before", {}),
        ("half_answer", {}),
        ("status", {"status": 500, "made": True}),
        ("status", {"status": 500, "made": False}),
        ("status", {"status": 429, "made": False, "retry_after": 1}),
        ("garbage_json", {}),
        ("id_missing", {}),
        ("slow_headers", {"seconds": 0.3}),
        ("redirect", {}),
        ("made_then_drop", {}),
        ("status", {"status": 502, "made": True}),
        ("html", {"status": 502}),
        ("cut_utf8", {}),
        ("charset", {}),
        ("bom", {}),
        ("enveloped", {"envelope": "code_lone"}),
        ("enveloped", {"envelope": "task"}),
        ("idless", {}),
        ("failed_job", {}),
        ("refused", {"name": "content_policy_violation"}),
        ("repeated_by_proxy", {"after": 0.5}),
        ("repeated_by_proxy", {"after": 0.5, "lost": True}),
        ("gateway_retried", {}),
        ("job_in_error", {"status": 400}),
        ("html", {"status": 403}),
        ("status", {"status": 404, "made": True, "body": ""}),
    ),
    "retrieve": (
        *_RUDE_READ,
        ("idless", {}),
        ("idless", {"body": {"status": "completed"}}),
        ("idless", {"body": {"status": "failed", "error": {"message": "not you"}}}),
        ("other_id", {"status": "failed"}),
        ("echo", {}),
        ("anothers", {}),
        ("anothers", {"status": "failed"}),
        ("not_found", {}),
        ("not_found", {}),
        ("shows_failed", {}),
        ("shows_expired", {}),
        ("unknown_status", {"status": "finishing"}),
        ("enveloped", {"envelope": "code"}),
        ("lie", {"habits": {"expires_at": "hour_one"}}),
    ),
    "list": (
        *_RUDE_READ,
        ("repeated_page", {}),
        ("shifted", {}),
        ("empty", {}),
        ("stale", {"seconds": 5}),
        ("shuffled", {}),
        ("missing_job", {}),
        ("foreign", {}),
        ("odd_rows", {}),
        ("odd_body", {}),
        ("lie", {"habits": {"created_at": "negative"}}),
        ("lie", {"habits": {"has_more": "never", "page_size": 1}}),
    ),
    "content": _CLIP_TROUBLE,
    "file": _CLIP_TROUBLE,
    "chat": (*_READ_TROUBLE, ("refusal", {}), ("invalid_json", {}), ("wrong_schema", {})),
    "render": (("fails", {}), ("slow", {})),
    "telegram": (
        ("flood", {"retry_after": 1}),
        ("done_then_drop", {}),
        ("drop_before", {}),
        ("status", {"status": 500}),
        ("status", {"status": 502}),
        ("slow", {"seconds": 0.3}),
        ("forget_offset", {}),
        ("half_answer", {}),
        ("garbage", {}),
    ),
    "rest": (*_READ_TROUBLE, ("drop_before", {}), ("done_then_drop", {})),
    "storage": (*_READ_TROUBLE, ("drop_before", {}), ("done_then_drop", {})),
}
