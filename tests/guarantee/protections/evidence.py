"""Rules 1 to 6 of docs/design.md, "Evidence": what may end a run, what may be adopted, what absence proves."""

from tests.guarantee.protections.mutant import Mutant

PROVIDER = "tests/providers/test_provider.py::"
RULES = "tests/pipeline/purchase/test_evidence.py::"
SHOWN = "tests/providers/openai_videos/test_order_match.py::"
PROTOCOL = "tests/providers/openai_videos/test_videos_protocol.py::"
LOOKS = "tests/ledger/purchase/test_looks.py::"
PROOF = "tests/ledger/purchase/test_proof.py::"
RUN = "tests/pipeline/test_run.py::"
REFUSED = "tests/pipeline/test_refused_content.py::"
RENDER = "tests/pipeline/clips/test_render.py::"
TABLES = "tests/media/test_iso_tables.py::"
FRAGMENTS = "tests/media/test_iso_fragments.py::"
FENCE = "tests/ledger/purchase/test_fence.py::"

EVIDENCE_MUTANTS = (
    Mutant(
        "first_clip",
        "a second download of a clip does not replace the one that is being recorded",
        "steps/save_video.py",
        "    if there := stored(target):\n",
        "    if there := None:\n",
        ("tests/steps/test_save_video.py::test_second_save_keeps_the_first_clip",),
    ),
    # -- rule 1: identity before meaning
    Mutant(
        "other_job",
        "a body that names another job is a failed read",
        "providers/openai_videos/jobs.py",
        "named=all(ours)) if any(ours) else None",
        "named=all(ours))",
        (PROTOCOL + "test_body_with_another_job_or_an_error_is_not_read_as_the_job",),
    ),
    Mutant(
        "no_name",
        "a body without an id says of no job that it failed",
        "steps/generate_video.py",
        "    if not (job.named and job.described):",
        "    if not job.described:",
        ("tests/steps/test_generate_video.py::test_failure_counts_only_if_the_body_names_the_job",),
    ),
    Mutant(
        "job_in_error",
        "a body in a 4xx or 5xx counts only if it names the job",
        "providers/openai_videos/protocol.py",
        "job if job is not None and job.named else",
        "job if job is not None else",
        (PROVIDER + "test_job_in_an_error_body_counts_only_with_its_id",),
    ),
    # -- rule 2: what cannot be taken back needs two looks, and the clip absent
    Mutant(
        "two_looks",
        "one look at a failed job ends no run",
        "pipeline/purchase/evidence.py",
        "    if run.failing_since is None or run.age(run.failing_since) < apart:",
        "    if run.failing_since is None:",
        (RULES + "test_failed_job_ends_its_run_after_two_looks_apart_unless_it_was_matched_by_list",),
    ),
    Mutant(
        "two_looks_sql",
        "the ledger itself wants a first look that is old enough",
        "supabase/schemas/06_submission.sql",
        "            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)\n",
        "",
        (FENCE + "test_render_failure_needs_two_looks_far_enough_apart",),
    ),
    Mutant(
        "failing_undone",
        "a job that says otherwise at the next look takes its first failing look back",
        "supabase/schemas/09_clips.sql",
        "case when p_words is not null then coalesce(failing_since, v_now) end,\n",
        "coalesce(failing_since, v_now),\n",
        (FENCE + "test_look_that_contradicts_a_noted_failure_clears_it",),
    ),
    Mutant(
        "postponed",
        "a run does not fail while its content can only not be asked for",
        "pipeline/clips/render.py",
        "    if isinstance(got, ReadError):  # no word on the clip: it may be there\n"
        "        return await _later(run, got, context)\n"
        "    if not is_absent(",
        "    if isinstance(got, Missing) and not is_absent(",
        (RENDER + "test_job_reported_as_failed_does_not_end_the_run_while_its_content_is_unreachable",),
    ),
    Mutant(
        "gone_at_once",
        "content of a completed job that is missing for less than the parking ends nothing",
        "pipeline/clips/ownership.py",
        "    return run.parked and run.age(run.parked_at) > parked",
        "    return run.parked",
        (RUN + "test_parked_render_is_saved_if_its_missing_content_appears_in_time",),
    ),
    # -- rule 3: content is proof
    Mutant(
        "content_first",
        "the clip is asked for before a job's word that it failed is believed",
        "pipeline/clips/render.py",
        "    run = await context.ledger.note_failing(run.run_id, job.job_id, words, job.word, seen=job.exists)\n"
        "    got = await _fetch(run, job, caption, context)\n",
        "    run = await context.ledger.note_failing(run.run_id, job.job_id, words, job.word, seen=job.exists)\n"
        "    got: Run | Missing | ReadError = Missing()\n",
        (
            RENDER + "test_job_reported_as_failed_is_saved_if_its_clip_is_available",
            REFUSED + "test_available_clip_is_saved_even_if_its_job_reports_a_content_refusal",
        ),
    ),
    Mutant(
        "clip_in_hand",
        "a clip in hand overrules every failure of its own job",
        "supabase/schemas/09_clips.sql",
        "    r := onetake.reopen(p_run_id, p_job_id);\n    if r.run_id is null then",
        "    if true then",
        (PROOF + "test_clip_of_its_own_job_is_saved_even_after_the_run_failed",),
    ),
    Mutant(
        "whole",
        "a clip is whole only if its boxes end where the file ends",
        "media/iso_boxes.py",
        "    if stop > end:\n        raise Cut(",
        "    if stop > end and kind != b'mdat':\n        raise Cut(",
        ("tests/media/test_clip_file.py::test_invalid_or_incomplete_clip_is_rejected_with_a_reason",),
    ),
    Mutant(
        "preview",
        "a shorter clip of a job that still renders is not its clip",
        "pipeline/clips/render.py",
        "        if isinstance(got, Clip) and (why := why_not_taken(run, job, got.facts, context.waits.parked)):",
        "        if why := None:",
        (RENDER + "test_shorter_preview_of_a_rendering_job_is_not_saved_as_its_clip",),
    ),
    Mutant(
        "last_look",
        "past the deadline only the last look says whether the job still renders",
        "steps/generate_video.py",
        "            return StillRendering(shown if isinstance(shown, Job) else None, error=seen)",
        "            return StillRendering(Job(job_id, JobStatus.IN_PROGRESS))",
        ("tests/steps/test_generate_video.py::test_deadline_result_reflects_only_the_last_poll",),
    ),
    Mutant(
        "samples_there",
        "a clip is whole only if the samples that its index lists are in the file",
        "media/iso_file.py",
        "fragments.missing or missing_samples(file, size, top, moov) or",
        "fragments.missing or",
        (TABLES + "test_truncation_in_an_open_ended_box_is_detected_by_the_index",),
    ),
    Mutant(
        "samples_in_mdat",
        "samples of a clip lie in its boxes of pictures, not in what pads the file",
        "media/iso_tables.py",
        "        if not any(box.start <= first and end <= box.end for box in data):",
        "        if False:",
        (TABLES + "test_media_data_smaller_than_the_index_lists_is_rejected",),
    ),
    Mutant(
        "open_index",
        "an index that runs to the end of the file is cut if a box in it is",
        "media/iso_file.py",
        "    if moov.open:",
        "    if False:",
        (TABLES + "test_open_ended_index_with_a_truncated_box_is_rejected",),
    ),
    Mutant(
        "promised_length",
        "a film in fragments has the length that its header promises",
        "media/iso_fragments.py",
        "    missing = promised - seconds > SECONDS_APART_MAX\n",
        "    missing = False\n",
        (FRAGMENTS + "test_clip_missing_its_last_fragments_is_not_whole",),
    ),
    Mutant(
        "fragment_bytes",
        "a fragment has the bytes that its samples have",
        "media/iso_fragments.py",
        "        if needed > present:",
        "        if False:",
        (FRAGMENTS + "test_fragment_with_fewer_bytes_than_its_samples_is_cut_short",),
    ),
    Mutant(
        "segment_index",
        "a file has the bytes that its segment index counts",
        "media/iso_fragments.py",
        "(end := _indexed(file, box)) > size:",
        "(end := _indexed(file, box)) < 0:",
        (FRAGMENTS + "test_clip_shorter_than_its_segment_index_is_cut_short",),
    ),
    Mutant(
        "named_by_hash",
        "only the clip that the row names gets the run's file name",
        "pipeline/clips/storage.py",
        "    if run.file_sha256 != clip.sha256:\n        return run\n    _give_name",
        "    _give_name",
        (
            "tests/pipeline/clips/test_whose_clip.py::test_clip_whose_hash_differs_from_the_row_does_not_replace_the_runs_file",
        ),
    ),
    Mutant(
        "tidied_at_once",
        "what was fetched for a run is kept for a day after it ended",
        "pipeline/clips/maintenance.py",
        "            elif record.ended_seconds_ago > DAY_SECONDS:",
        "            else:",
        (
            "tests/pipeline/clips/test_whose_clip.py::test_crash_after_fetching_another_jobs_clip_still_saves_the_right_clip",
        ),
    ),
    # -- rule 4: only what is ours is adopted
    Mutant(
        "hidden_prompt",
        "a job that hides its prompt is nobody's by its prompt",
        "providers/order_match.py",
        "    return (job.prompt is not None or shows_marker_of(job, order)) and not differs(job, order)",
        "    return not differs(job, order)",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "whole_request",
        "only the whole request makes two runs interchangeable",
        "providers/order_match.py",
        "    return same and one.params == other.params and same_words(one.prompt, other.prompt)",
        "    return same_words(one.prompt, other.prompt)",
        (SHOWN + "test_requests_are_the_same_only_if_prompt_model_seconds_and_size_match",),
    ),
    Mutant(
        "still_submitting",
        "nothing is adopted while a run of the same request still waits for its answer",
        "pipeline/purchase/evidence.py",
        " or any(each.state is State.SUBMITTING for each in runs):",
        ":",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "failed_rivals",
        "a run that failed after its POST may own a listed job as well",
        "supabase/schemas/07_reconcile.sql",
        "and state = 'failed' and reason not in ('never_sent', 'never_connected')",
        "and state = 'failed' and reason not in ('never_sent', 'never_connected', 'not_charged')",
        (LOOKS + "test_doubts_at_returns_possible_owners_and_the_owners_of_listed_jobs",),
    ),
    Mutant(
        "exclusive_key",
        "the only job is adopted without its prompt only where nobody else uses the key",
        "pipeline/purchase/evidence.py",
        "    if not (facts.exclusive_key and look.complete",
        "    if not (look.complete",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    # -- rule 5: a guess may save a run, never fail it
    Mutant(
        "failed_adopted",
        "a job that failed is not adopted",
        "pipeline/purchase/evidence.py",
        "for each, job in pairs if not has_failed(job, each))",
        "for each, job in pairs)",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "failed_again",
        "a job that this run saw fail is not adopted again",
        "supabase/schemas/05_jobs.sql",
        "       or (p_source in ('marker', 'list') and r.failed_jobs ? onetake.canonical_id(p_job_id)) then",
        "       then",
        (FENCE + "test_failure_of_an_adopted_job_returns_its_run_to_doubt",),
    ),
    Mutant(
        "guess_fails",
        "an adopted job that fails brings its run back into doubt",
        "pipeline/purchase/evidence.py",
        "    return Ending.BACK_TO_DOUBT if run.job_source is JobSource.LIST else Ending.FAIL",
        "    return Ending.FAIL",
        (RULES + "test_failed_job_ends_its_run_after_two_looks_apart_unless_it_was_matched_by_list",),
    ),
    Mutant(
        "guess_fails_sql",
        "the ledger itself fails no run by a job that was only adopted",
        "supabase/schemas/06_submission.sql",
        "        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not",
        "        when r.state = 'rendering' then r.job_id = p_job_id and not",
        (FENCE + "test_failure_of_an_adopted_job_returns_its_run_to_doubt",),
    ),
    # -- rule 6: "never made" is a claim about a list
    Mutant(
        "too_early",
        "no look counts while the job may still be on its way into the list",
        "pipeline/purchase/markers.py",
        '    if age <= waits_for:\n        return "too_early"\n',
        "",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "list_in_order",
        "a list out of order proves nothing",
        "pipeline/purchase/evidence.py",
        '"list_out_of_order": not facts.newest_first or in_order(look, known),',
        '"list_out_of_order": True,',
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "odd_rows",
        "a list with a row that cannot be read proves nothing",
        "pipeline/purchase/evidence.py",
        '    if look.odd_rows:\n        return "unreadable_row"\n',
        "",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "running_shown",
        "without T, the list must have shown a running job of ours",
        "pipeline/purchase/evidence.py",
        '"running_never_shown": facts.absent_after is not None or running,',
        '"running_never_shown": True,',
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "fresh_witness",
        "an answer that came just before the look is no witness yet",
        "pipeline/purchase/matching.py",
        "        if owner.answered and owner.known_at <= latest and",
        "        if owner.answered and",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "witness_after",
        "a quiet account stays in doubt: a purchase after it must be in the list",
        "pipeline/purchase/evidence.py",
        '"no_witness_after": replaced or any(owner.sent_at > sent_at for owner in alike),',
        '"no_witness_after": True,',
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "answered_job",
        "a real answer that named a job forbids `never made`",
        "pipeline/purchase/evidence.py",
        "        and run.answered_job_id is None\n        and run.callback_job_id",
        "        and run.callback_job_id",
        (RULES + "test_five_complete_looks_over_the_grace_period_prove_a_job_was_never_made",),
    ),
    Mutant(
        "answered_job_look",
        "no list is asked for a run whose real answer named a job",
        "pipeline/purchase/evidence.py",
        '    if run.answered_job_id is not None:\n        return InDoubt("answer_named_a_job")\n',
        "",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "doubt_needs_proof",
        "the ledger itself ends no run in doubt without looks that counted",
        "supabase/schemas/06_submission.sql",
        "then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null\n",
        "then p_reason is not null\n",
        (FENCE + "test_a_run_in_doubt_fails_only_with_the_winning_token_or_with_counted_looks",),
    ),
    Mutant(
        "doubt_token",
        "only the winner's no ends a run in doubt",
        "supabase/schemas/06_submission.sql",
        "        when p_token is not null then r.token = p_token and (",
        "        when p_token is not null then (r.token = p_token or r.state = 'uncertain') and (",
        (FENCE + "test_a_run_in_doubt_fails_only_with_the_winning_token_or_with_counted_looks",),
    ),
)
