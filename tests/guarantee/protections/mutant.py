"""One protection, the edit that removes it, and the tests that must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    removes: str  # the protection, in words
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
