"""Files sent instead of a clip, or around it, in an attack on downloads: each has the line that detects it."""

from tests.guarantee.protections.mutant import Mutant

DOWNLOAD = "tests/providers/test_download.py::"
ADDRESS = "tests/providers/openai_videos/test_clip_address.py::"
FETCH = "tests/steps/test_generate_video.py::"
RENDER = "tests/pipeline/clips/test_render.py::"
CLIP_FILE = "tests/media/test_clip_file.py::"
UNPACKED = "tests/net/test_unpacked.py::"

CONTENT_MUTANTS = (
    Mutant(
        "bytes_decide",
        "what is packed is told by its bytes, not by a header",
        "net/unpacked.py",
        "        if start.startswith((GZIP, *ZLIB)):",
        "        if True:",
        (DOWNLOAD + "test_whole_clip_is_recognized_by_its_bytes_not_its_headers",),
    ),
    Mutant(
        "all_members",
        "a body that is packed in several members is read to its end",
        "net/unpacked.py",
        "        return member.unused_data",
        '        return b""',
        (UNPACKED + "test_compressed_members_are_concatenated_and_trailing_bytes_dropped",),
    ),
    Mutant(
        "behind_the_packing",
        "what follows the packing is dropped, and not for ever",
        "net/unpacked.py",
        "        if self._behind > BEHIND_BYTES_MAX:",
        "        if False:",
        (UNPACKED + "test_too_many_trailing_bytes_make_the_body_unreadable",),
    ),
    Mutant(
        "a_part",
        "a part of a clip is not taken for all of it",
        "providers/clips/download.py",
        '        return part is not None and int(part["last"]) + 1 == int(part["count"])',
        "        return True",
        (DOWNLOAD + "test_incomplete_or_failed_download_is_a_read_error",),
    ),
    Mutant(
        "whole_part",
        "a part that is all of a clip is judged by its boxes",
        "providers/clips/download.py",
        "        if _is_whole(response):",
        "        if response.status_code == 200:",
        (DOWNLOAD + "test_whole_clip_is_recognized_by_its_bytes_not_its_headers",),
    ),
    Mutant(
        "content_leads_on",
        "JSON at the content's address is followed to the clip",
        "steps/generate_video.py",
        "got.status in NOT_IMPLEMENTED | ANSWERED)",
        "got.status in NOT_IMPLEMENTED)",
        (FETCH + "test_clip_url_in_a_json_content_response_is_followed_without_the_key",),
    ),
    Mutant(
        "anothers_link",
        "a body that names another job leads nowhere",
        "providers/openai_videos/jobs.py",
        "    if shown and not any(names_job(each, job_id) for each in shown):\n        return ()\n",
        "",
        (ADDRESS + "test_json_content_response_can_hold_the_clip_url_unless_it_names_another_job",),
    ),
    Mutant(
        "each_address",
        "all addresses of a job are tried for its clip",
        "steps/generate_video.py",
        "    for url in list(dict.fromkeys(urls))[:URLS_MAX]:",
        "    for url in list(dict.fromkeys(urls))[:1]:",
        (FETCH + "test_each_clip_url_of_a_job_is_tried_in_turn",),
    ),
    Mutant(
        "links_in_words",
        "no word that is kept holds what opens a link",
        "media/clip_file.py",
        '    return without_links(" ".join(printable.split()))[:WORDS_CHARACTERS_MAX]',
        '    return " ".join(printable.split())[:WORDS_CHARACTERS_MAX]',
        (CLIP_FILE + "test_url_secrets_are_removed_from_kept_text",),
    ),
    Mutant(
        "broken_headers",
        "words on broken headers are not kept: they may hold our key",
        "providers/transport.py",
        "        if isinstance(error, httpx2.ProtocolError | httpx2.ProxyError):",
        "        if False:",
        ("tests/providers/test_provider.py::test_broken_response_headers_are_not_kept_in_the_error",),
    ),
    Mutant(
        "pictures_first_to_last",
        "a picture that is nothing but zeros has not come yet",
        "media/iso_pictures.py",
        "            if len(sample) >= START_BYTES_MIN and not any(sample[:START_BYTES]):",
        "            if False:",
        ("tests/media/test_iso_tables.py::test_zeros_in_the_picture_data_mean_an_incomplete_download",),
    ),
    Mutant(
        "sound_alone",
        "a sound track alone is no clip",
        "media/iso_pictures.py",
        "        if kinds and all(kind in WITHOUT_PICTURES for _, kind in kinds):",
        "        if False:",
        (CLIP_FILE + "test_invalid_or_incomplete_clip_is_rejected_with_a_reason",),
    ),
    Mutant(
        "webm_sound_alone",
        "nor is one in WebM",
        "media/webm_file.py",
        "    if types and all(each in {SOUND, SUBTITLES} for each in types):",
        "    if False:",
        (CLIP_FILE + "test_invalid_or_incomplete_clip_is_rejected_with_a_reason",),
    ),
    Mutant(
        "preview_without_a_word",
        "a shorter clip is not taken while no word of the job says that it is done",
        "pipeline/clips/ownership.py",
        "not in ENDED and (shorter or ",
        "not in ENDED and ((job.running and shorter) or ",
        (RENDER + "test_shorter_clip_is_saved_only_after_a_day_when_the_job_status_is_unknown",),
    ),
    Mutant(
        "draft_of_full_length",
        "a clip of much less than the ordered size is not taken while its job renders",
        "pipeline/clips/ownership.py",
        " or (job.running and is_much_smaller(facts, run.size))",
        "",
        (RENDER + "test_full_length_low_resolution_preview_of_a_rendering_job_is_not_saved",),
    ),
    Mutant(
        "kept_answers_stay",
        "tending removes drafts of answers, and no answer",
        "pipeline/purchase/answer_files.py",
        '        for draft in self.folder.glob(".*.*"):',
        '        for draft in self.folder.glob("*.*"):',
        ("tests/pipeline/purchase/test_answers.py::test_drop_drafts_removes_only_old_partial_answer_files",),
    ),
)
