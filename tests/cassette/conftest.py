"""The conversation of a cassette test."""

from typing import Any

import pytest

from tests.cassette.conversation import Talk, recorded, replayed


@pytest.fixture
def talk(vcr: Any, record_mode: str) -> Talk:
    return replayed(vcr) if record_mode == "none" else recorded(vcr)
