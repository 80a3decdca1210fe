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
    # -- rule 1: identity before meaning
    Mutant(
        "other_job",
        "a body that names another job is a failed read",
        "providers/openai_videos/jobs.py",
        "named=all(ours)) if any(ours) else None",
        "named=all(ours))",
        (PROTOCOL + "test_a_body_that_names_another_job_or_an_error_is_a_failed_read",),
    ),
    Mutant(
        "no_name",
        "a body without an id says of no job that it failed",
        "steps/generate_video.py",
        "    if not (job.named and job.described):",
        "    if not job.described:",
        ("tests/steps/test_generate_video.py::test_only_a_body_that_names_the_job_says_that_it_failed",),
    ),
    Mutant(
        "job_in_error",
        "a body in a 4xx or 5xx counts only if it names the job",
        "providers/transport.py",
        "job if job is not None and job.named else",
        "job if job is not None else",
        (PROVIDER + "test_a_job_in_the_body_of_an_error_counts_only_if_it_names_the_job",),
    ),
    # -- rule 2: what cannot be taken back needs two looks, and the clip absent
    Mutant(
        "two_looks",
        "one look at a failed job ends no run",
        "pipeline/purchase/evidence.py",
        "    if run.failing_since is None or run.age(run.failing_since) < apart:",
        "    if run.failing_since is None:",
        (RULES + "test_two_looks_apart_end_a_run_and_a_guess_never_does",),
    ),
    Mutant(
        "two_looks_sql",
        "the ledger itself wants a first look that is old enough",
        "supabase/schemas/06_submission.sql",
        "            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)\n",
        "",
        (FENCE + "test_one_look_at_a_failed_job_ends_nothing",),
    ),
    Mutant(
        "failing_undone",
        "a job that says otherwise at the next look takes its first failing look back",
        "supabase/schemas/09_clips.sql",
        "case when p_words is not null then coalesce(failing_since, v_now) end,\n",
        "coalesce(failing_since, v_now),\n",
        (FENCE + "test_a_look_that_contradicts_the_first_takes_it_back",),
    ),
    Mutant(
        "postponed",
        "a run does not fail while its content can only not be asked for",
        "pipeline/clips/render.py",
        "    if isinstance(got, ReadError):  # no word on the clip: it may be there\n"
        "        return await _later(run, got, context)\n"
        "    if not is_absent(",
        "    if isinstance(got, Missing) and not is_absent(",
        (RENDER + "test_a_job_that_says_it_failed_ends_no_run_while_its_clip_cannot_be_asked_for",),
    ),
    Mutant(
        "gone_at_once",
        "content of a completed job that is missing for less than the parking ends nothing",
        "pipeline/clips/ownership.py",
        "    return run.parked and run.age(run.parked_at) > parked",
        "    return run.parked",
        (RUN + "test_content_that_is_missing_for_less_than_the_parking_does_not_end_a_completed_render",),
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
            RENDER + "test_a_job_that_says_it_failed_is_saved_if_its_clip_is_there",
            REFUSED + "test_a_clip_that_is_there_after_all_beats_every_word_on_its_content",
        ),
    ),
    Mutant(
        "clip_in_hand",
        "a clip in hand overrules every failure of its own job",
        "supabase/schemas/09_clips.sql",
        "    r := onetake.reopen(p_run_id, p_job_id);\n    if r.run_id is null then",
        "    if true then",
        (PROOF + "test_a_clip_in_hand_overrules_every_failure_of_its_own_job",),
    ),
    Mutant(
        "whole",
        "a clip is whole only if its boxes end where the file ends",
        "media/iso_boxes.py",
        "    if stop > end:\n        raise Cut(",
        "    if stop > end and kind != b'mdat':\n        raise Cut(",
        ("tests/media/test_clip_file.py::test_what_is_no_whole_clip_says_why",),
    ),
    Mutant(
        "preview",
        "a shorter clip of a job that still renders is not its clip",
        "pipeline/clips/render.py",
        "        if isinstance(got, Clip) and (why := why_not_taken(run, job, got.facts, context.waits.parked)):",
        "        if why := None:",
        (RENDER + "test_a_preview_of_a_job_that_still_renders_is_not_its_clip",),
    ),
    Mutant(
        "last_look",
        "past the deadline only the last look says whether the job still renders",
        "steps/generate_video.py",
        "            return StillRendering(shown if isinstance(shown, Job) else None, error=seen)",
        "            return StillRendering(Job(job_id, JobStatus.IN_PROGRESS))",
        ("tests/steps/test_generate_video.py::test_past_the_deadline_only_the_last_look_counts",),
    ),
    Mutant(
        "samples_there",
        "a clip is whole only if the samples that its index lists are in the file",
        "media/iso_file.py",
        "fragments.missing or missing_samples(file, size, top, moov) or",
        "fragments.missing or",
        (TABLES + "test_a_cut_that_an_open_box_hides_is_found_by_the_index",),
    ),
    Mutant(
        "samples_in_mdat",
        "samples of a clip lie in its boxes of pictures, not in what pads the file",
        "media/iso_tables.py",
        "        if not any(box.start <= first and end <= box.end for box in data):",
        "        if False:",
        (TABLES + "test_pictures_of_one_byte_are_not_what_the_index_lists",),
    ),
    Mutant(
        "open_index",
        "an index that runs to the end of the file is cut if a box in it is",
        "media/iso_file.py",
        "    if moov.open:",
        "    if False:",
        (TABLES + "test_an_index_that_runs_to_the_end_of_the_file_is_cut_if_a_box_in_it_is",),
    ),
    Mutant(
        "promised_length",
        "a film in fragments has the length that its header promises",
        "media/iso_fragments.py",
        "    missing = promised - seconds > SECONDS_APART_MAX\n",
        "    missing = False\n",
        (FRAGMENTS + "test_a_film_without_its_last_fragments_is_not_whole",),
    ),
    Mutant(
        "fragment_bytes",
        "a fragment has the bytes that its samples have",
        "media/iso_fragments.py",
        "        if needed > present:",
        "        if False:",
        (FRAGMENTS + "test_a_fragment_with_fewer_bytes_than_its_samples_have_is_cut",),
    ),
    Mutant(
        "segment_index",
        "a file has the bytes that its segment index counts",
        "media/iso_fragments.py",
        "(end := _indexed(file, box)) > size:",
        "(end := _indexed(file, box)) < 0:",
        (FRAGMENTS + "test_a_film_whose_segment_index_counts_more_bytes_is_cut",),
    ),
    Mutant(
        "named_by_hash",
        "only the clip that the row names gets the run's file name",
        "pipeline/clips/storage.py",
        "    if run.file_sha256 != clip.sha256:\n        return run\n    _give_name",
        "    _give_name",
        (
            "tests/pipeline/clips/test_whose_clip.py::test_a_clip_that_its_row_does_not_name_does_not_get_the_runs_file_name",
        ),
    ),
    Mutant(
        "tidied_at_once",
        "what was fetched for a run is kept for a day after it ended",
        "pipeline/clips/maintenance.py",
        "            elif record.ended_seconds_ago > DAY_SECONDS:",
        "            else:",
        ("tests/pipeline/clips/test_whose_clip.py::test_a_crash_with_another_jobs_clip_saves_the_right_one",),
    ),
    # -- rule 4: only what is ours is adopted
    Mutant(
        "hidden_prompt",
        "a job that hides its prompt is nobody's by its prompt",
        "providers/openai_videos/order_match.py",
        "    return job.prompt is not None and not differs(job, order)",
        "    return not differs(job, order)",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "whole_request",
        "only the whole request makes two runs interchangeable",
        "providers/openai_videos/order_match.py",
        "    return same and same_words(one.prompt, other.prompt)",
        "    return same_words(one.prompt, other.prompt)",
        (SHOWN + "test_a_request_is_the_same_only_as_a_whole",),
    ),
    Mutant(
        "still_submitting",
        "nothing is adopted while a run of the same request still waits for its answer",
        "pipeline/purchase/evidence.py",
        " or any(each.state is State.SUBMITTING for each in runs):",
        ":",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "failed_rivals",
        "a run that failed after its POST may own a listed job as well",
        "supabase/schemas/07_reconcile.sql",
        "and state = 'failed' and reason not in ('never_sent', 'never_connected')",
        "and state = 'failed' and reason not in ('never_sent', 'never_connected', 'not_charged')",
        (LOOKS + "test_doubts_are_the_runs_that_may_own_a_job_there_and_who_owns_the_listed_ones",),
    ),
    Mutant(
        "exclusive_key",
        "the only job is adopted without its prompt only where nobody else uses the key",
        "pipeline/purchase/evidence.py",
        "    if not (facts.exclusive_key and look.complete",
        "    if not (look.complete",
        (RULES + "test_each_look_says_one_thing",),
    ),
    # -- rule 5: a guess may save a run, never fail it
    Mutant(
        "failed_adopted",
        "a job that failed is not adopted",
        "pipeline/purchase/evidence.py",
        "for each, job in pairs if not has_failed(job, each))",
        "for each, job in pairs)",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "failed_again",
        "a job that this run saw fail is not adopted again",
        "supabase/schemas/05_jobs.sql",
        "       or (p_source = 'list' and r.failed_jobs ? onetake.canonical_id(p_job_id)) then",
        "       then",
        (FENCE + "test_a_job_that_was_only_adopted_never_fails_its_run",),
    ),
    Mutant(
        "guess_fails",
        "an adopted job that fails brings its run back into doubt",
        "pipeline/purchase/evidence.py",
        "    return Ending.BACK_TO_DOUBT if run.job_source is JobSource.LIST else Ending.FAIL",
        "    return Ending.FAIL",
        (RULES + "test_two_looks_apart_end_a_run_and_a_guess_never_does",),
    ),
    Mutant(
        "guess_fails_sql",
        "the ledger itself fails no run by a job that was only adopted",
        "supabase/schemas/06_submission.sql",
        "        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not",
        "        when r.state = 'rendering' then r.job_id = p_job_id and not",
        (FENCE + "test_a_job_that_was_only_adopted_never_fails_its_run",),
    ),
    # -- rule 6: "never made" is a claim about a list
    Mutant(
        "too_early",
        "no look counts while the job may still be on its way into the list",
        "pipeline/purchase/evidence.py",
        '    if too_early(run, facts, patience):\n        return "too_early"\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "list_in_order",
        "a list out of order proves nothing",
        "pipeline/purchase/evidence.py",
        '"list_out_of_order": in_order(look, known),',
        '"list_out_of_order": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "odd_rows",
        "a list with a row that cannot be read proves nothing",
        "pipeline/purchase/evidence.py",
        '    if look.odd_rows:\n        return "unreadable_row"\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "running_shown",
        "without T, the list must have shown a running job of ours",
        "pipeline/purchase/evidence.py",
        '"running_never_shown": facts.absent_after is not None or running,',
        '"running_never_shown": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "fresh_witness",
        "an answer that came just before the look is no witness yet",
        "pipeline/purchase/matching.py",
        "        if owner.answered and owner.known_at <= latest and",
        "        if owner.answered and",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "witness_after",
        "a quiet account stays in doubt: a purchase after it must be in the list",
        "pipeline/purchase/evidence.py",
        '"no_witness_after": replaced or any(owner.sent_at > sent_at for owner in alike),',
        '"no_witness_after": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "answered_job",
        "a real answer that named a job forbids `never made`",
        "pipeline/purchase/evidence.py",
        "        and run.answered_job_id is None\n        and run.looks_complete",
        "        and run.looks_complete",
        (RULES + "test_never_made_is_proved_by_five_looks_over_the_grace",),
    ),
    Mutant(
        "answered_job_look",
        "no list is asked for a run whose real answer named a job",
        "pipeline/purchase/evidence.py",
        '    if run.answered_job_id is not None:\n        return InDoubt("answer_named_a_job")\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "doubt_needs_proof",
        "the ledger itself ends no run in doubt without looks that counted",
        "supabase/schemas/06_submission.sql",
        "then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null\n",
        "then p_reason is not null\n",
        (FENCE + "test_a_run_in_doubt_fails_only_by_its_winners_no_or_by_looks_that_counted",),
    ),
    Mutant(
        "doubt_token",
        "only the winner's no ends a run in doubt",
        "supabase/schemas/06_submission.sql",
        "        when p_token is not null then r.token = p_token\n",
        "        when p_token is not null then (r.token = p_token or r.state = 'uncertain')\n",
        (FENCE + "test_a_run_in_doubt_fails_only_by_its_winners_no_or_by_looks_that_counted",),
    ),
)
