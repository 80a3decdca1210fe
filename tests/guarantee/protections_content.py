"""What came instead of a clip, or around it, in an attack on fetching: each lie needs the line that sees through it."""

from tests.guarantee.mutant import Mutant

DOWNLOAD = "tests/steps/test_download.py::"
UNPACKED = "tests/steps/test_unpacked.py::"

CONTENT_MUTANTS = (
    Mutant(
        "bytes_decide",
        "what is packed is told by its bytes, not by a header",
        "steps/unpacked.py",
        "        if start.startswith((GZIP, *ZLIB)):",
        "        if True:",
        (DOWNLOAD + "test_the_bytes_say_what_a_whole_clip_is_not_the_headers",),
    ),
    Mutant(
        "all_members",
        "a body that is packed in several members is read to its end",
        "steps/unpacked.py",
        "        return member.unused_data",
        '        return b""',
        (UNPACKED + "test_members_are_read_in_a_row_and_what_follows_them_is_dropped",),
    ),
    Mutant(
        "behind_the_packing",
        "what follows the packing is dropped, and not for ever",
        "steps/unpacked.py",
        "        if self._behind > BEHIND_BYTES_MAX:",
        "        if False:",
        (UNPACKED + "test_what_follows_is_bounded",),
    ),
    Mutant(
        "a_part",
        "a part of a clip is not taken for all of it",
        "steps/download.py",
        '        return part is not None and int(part["last"]) + 1 == int(part["count"])',
        "        return True",
        (DOWNLOAD + "test_what_is_not_a_whole_clip_can_be_fetched_again",),
    ),
)
