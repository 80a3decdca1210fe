"""The state of a simulated project: its keys, its buckets, and every call.

In       settings
Out      one `Project`, kept under `PROJECT` in the aiohttp application
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web


@dataclass(slots=True)
class Stored:
    """One object: its bytes, and how often it was uploaded."""

    body: bytes
    content_type: str
    key_id: str = field(default_factory=lambda: str(uuid4()))
    uploads: int = 1
    at: float = field(default_factory=time.time)


@dataclass(slots=True)
class Bucket:
    """A bucket; a public one can be read without a key."""

    public: bool
    size_max: int | None
    objects: dict[str, Stored] = field(default_factory=dict)


@dataclass(slots=True)
class Project:
    """`keys`: every key the gateway accepts, and the JWT that PostgREST gets for it."""

    postgrest: str | None
    keys: Mapping[str, str]
    size_max: int = 50_000_000
    buckets: dict[str, Bucket] = field(default_factory=dict)
    links: dict[str, tuple[str, float]] = field(default_factory=dict)  # token: path with bucket, valid until
    calls: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For tests: buckets and objects with hashes, never bytes; every call in order."""
        return {
            "buckets": {
                name: {
                    "public": bucket.public,
                    "objects": {
                        path: {
                            "bytes": len(stored.body),
                            "sha256": hashlib.sha256(stored.body).hexdigest(),
                            "content_type": stored.content_type,
                            "uploads": stored.uploads,
                        }
                        for path, stored in bucket.objects.items()
                    },
                }
                for name, bucket in self.buckets.items()
            },
            "calls": self.calls,
        }


PROJECT = web.AppKey("project", Project)
