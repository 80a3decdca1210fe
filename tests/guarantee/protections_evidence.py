"""Rules 1 to 6 of DESIGN section 4, "Evidence": what may end a run, what may be adopted, what absence proves."""

from tests.guarantee.mutant import Mutant

PROVIDER = "tests/steps/test_provider.py::"
RULES = "tests/pipeline/test_evidence.py::"
PROTOCOL = "tests/steps/test_videos_protocol.py::"
LOOKS = "tests/ledger/test_looks.py::"
PROOF = "tests/ledger/test_proof.py::"
RUN = "tests/pipeline/test_run.py::"
RENDER = "tests/pipeline/test_render.py::"
FENCE = "tests/ledger/test_fence.py::"
EVIDENCE = "supabase/migrations/20261129000100_evidence.sql"
SEEN = "supabase/migrations/20261129000300_seen_jobs.sql"

EVIDENCE_MUTANTS = (
    # -- rule 1: identity before meaning
    Mutant(
        "other_job",
        "a body that names another job is a failed read",
        "steps/video_jobs.py",
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
        "steps/provider.py",
        "            return job if job is not None and job.named else self._read_error(error)",
        "            return job if job is not None else self._read_error(error)",
        (PROVIDER + "test_a_job_in_the_body_of_an_error_counts_only_if_it_names_the_job",),
    ),
    # -- rule 2: what cannot be taken back needs two looks, and the clip absent
    Mutant(
        "two_looks",
        "one look at a failed job ends no run",
        "pipeline/evidence.py",
        "    if run.failing_since is None or run.age(run.failing_since) < apart:",
        "    if run.failing_since is None:",
        (RULES + "test_two_looks_apart_end_a_run_and_a_guess_never_does",),
    ),
    Mutant(
        "two_looks_sql",
        "the ledger itself wants a first look that is old enough",
        SEEN,
        "            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)\n",
        "",
        (FENCE + "test_one_look_at_a_failed_job_ends_nothing",),
    ),
    Mutant(
        "failing_undone",
        "a job that says otherwise at the next look takes its first failing look back",
        SEEN,
        "case when p_words is not null then coalesce(failing_since, v_now) end,\n",
        "coalesce(failing_since, v_now),\n",
        (FENCE + "test_a_look_that_contradicts_the_first_takes_it_back",),
    ),
    Mutant(
        "postponed",
        "a run does not fail while its content can only not be asked for",
        "pipeline/render.py",
        "    if isinstance(got, ReadError):  # no word on the clip",
        "    if False:  # no word on the clip",
        (RENDER + "test_a_job_that_says_it_failed_ends_no_run_while_its_clip_cannot_be_asked_for",),
    ),
    Mutant(
        "gone_at_once",
        "content of a completed job that is missing for less than the parking ends nothing",
        "pipeline/render.py",
        "    return run.parked and run.age(run.parked_at) > world.waits.parked",
        "    return run.parked",
        (RUN + "test_content_that_is_missing_for_less_than_the_parking_does_not_end_a_completed_render",),
    ),
    # -- rule 3: content is proof
    Mutant(
        "content_first",
        "the clip is asked for before a job's word that it failed is believed",
        "pipeline/render.py",
        "    run = await world.ledger.note_failing(run.run_id, job.job_id, words, job.word, seen=job.exists)\n"
        "    got = await _fetch(run, job, caption, world)\n",
        "    run = await world.ledger.note_failing(run.run_id, job.job_id, words, job.word, seen=job.exists)\n"
        "    got: Run | Missing | ReadError = Missing()\n",
        (RENDER + "test_a_job_that_says_it_failed_is_saved_if_its_clip_is_there",),
    ),
    Mutant(
        "clip_in_hand",
        "a clip in hand overrules every failure of its own job",
        EVIDENCE,
        "    r := onetake.reopen(p_run_id, p_job_id);\n    if r.run_id is null then",
        "    if true then",
        (PROOF + "test_a_clip_in_hand_overrules_every_failure_of_its_own_job",),
    ),
    Mutant(
        "whole",
        "a clip is whole only if its boxes end where the file ends",
        "steps/iso_file.py",
        "    if stop > end:\n        raise Broken(",
        "    if stop > end and kind != b'mdat':\n        raise Broken(",
        ("tests/steps/test_clip_file.py::test_what_is_no_whole_clip_says_why",),
    ),
    Mutant(
        "named_by_hash",
        "only the clip that the row names gets the run's file name",
        "pipeline/clips.py",
        "    if run.file_sha256 != clip.sha256:\n        return run\n    _give_name",
        "    _give_name",
        ("tests/pipeline/test_whose_clip.py::test_a_clip_that_its_row_does_not_name_does_not_get_the_runs_file_name",),
    ),
    Mutant(
        "tidied_at_once",
        "what was fetched for a run is kept for a day after it ended",
        "pipeline/tending.py",
        "            elif record.ended_seconds_ago > DAY_SECONDS:",
        "            else:",
        ("tests/pipeline/test_whose_clip.py::test_a_crash_with_another_jobs_clip_saves_the_right_one",),
    ),
    # -- rule 4: only what is ours is adopted
    Mutant(
        "hidden_prompt",
        "a job that hides its prompt is nobody's by its prompt",
        "pipeline/evidence.py",
        "    return job.prompt is not None and not differs(job, order)",
        "    return not differs(job, order)",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "whole_request",
        "only the whole request makes two runs interchangeable",
        "pipeline/evidence.py",
        "    return same and same_words(one.prompt, other.prompt)",
        "    return same_words(one.prompt, other.prompt)",
        (RULES + "test_a_request_is_the_same_only_as_a_whole",),
    ),
    Mutant(
        "still_submitting",
        "nothing is adopted while a run of the same request still waits for its answer",
        "pipeline/evidence.py",
        " or any(each.state is State.SUBMITTING for each in runs):",
        ":",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "failed_rivals",
        "a run that failed after its POST may own a listed job as well",
        EVIDENCE,
        "reason not in ('never_sent', 'never_connected')\n                and submitting_at",
        "reason not in ('never_sent', 'never_connected', 'not_charged')\n                and submitting_at",
        (LOOKS + "test_doubts_are_the_runs_that_may_own_a_job_there_and_who_owns_the_listed_ones",),
    ),
    Mutant(
        "exclusive_key",
        "the only job is adopted without its prompt only where nobody else uses the key",
        "pipeline/evidence.py",
        "    if not (facts.exclusive_key and look.complete",
        "    if not (look.complete",
        (RULES + "test_each_look_says_one_thing",),
    ),
    # -- rule 5: a guess may save a run, never fail it
    Mutant(
        "failed_adopted",
        "a job that failed is not adopted",
        "pipeline/evidence.py",
        "for each, job in pairs if not has_failed(job, each))",
        "for each, job in pairs)",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "failed_again",
        "a job that this run saw fail is not adopted again",
        SEEN,
        "       or (p_source = 'list' and r.failed_jobs ? onetake.canonical_id(p_job_id)) then",
        "       then",
        (FENCE + "test_a_job_that_was_only_adopted_never_fails_its_run",),
    ),
    Mutant(
        "guess_fails",
        "an adopted job that fails brings its run back into doubt",
        "pipeline/evidence.py",
        "    return Ending.BACK_TO_DOUBT if run.job_source is JobSource.LIST else Ending.FAIL",
        "    return Ending.FAIL",
        (RULES + "test_two_looks_apart_end_a_run_and_a_guess_never_does",),
    ),
    Mutant(
        "guess_fails_sql",
        "the ledger itself fails no run by a job that was only adopted",
        SEEN,
        "        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not",
        "        when r.state = 'rendering' then r.job_id = p_job_id and not",
        (FENCE + "test_a_job_that_was_only_adopted_never_fails_its_run",),
    ),
    # -- rule 6: "never made" is a claim about a list
    Mutant(
        "too_early",
        "no look counts while the job may still be on its way into the list",
        "pipeline/evidence.py",
        '    if too_early(run, facts, patience):\n        return "too_early"\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "list_in_order",
        "a list out of order proves nothing",
        "pipeline/evidence.py",
        '"list_out_of_order": in_order(look, {**books.owned, **must}),',
        '"list_out_of_order": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "look_in_order",
        "a look ends at a moment only on a page that stands in order",
        "steps/list_jobs.py",
        "    return times == sorted(times, reverse=True) and times[-1] < back_to",
        "    return times[-1] < back_to",
        ("tests/steps/test_list_jobs.py::test_a_look_is_complete_only_if_every_page_was_read",),
    ),
    Mutant(
        "odd_rows",
        "a list with a row that cannot be read proves nothing",
        "pipeline/evidence.py",
        '    if look.odd_rows:\n        return "unreadable_row"\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "running_shown",
        "without T, the list must have shown a running job of ours",
        "pipeline/evidence.py",
        '"running_never_shown": facts.absent_after is not None or running,',
        '"running_never_shown": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "fresh_witness",
        "an answer that came just before the look is no witness yet",
        "pipeline/evidence.py",
        "        if owner.answered and owner.known_at <= latest and",
        "        if owner.answered and",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "witness_after",
        "a quiet account stays in doubt: a purchase after it must be in the list",
        "pipeline/evidence.py",
        '"no_witness_after": replaced or any(owner.sent_at > sent_at for owner in must.values()),',
        '"no_witness_after": True,',
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "answered_job",
        "a real answer that named a job forbids `never made`",
        "pipeline/evidence.py",
        "        and run.answered_job_id is None\n        and run.looks_complete",
        "        and run.looks_complete",
        (RULES + "test_never_made_is_proved_by_five_looks_over_the_grace",),
    ),
    Mutant(
        "answered_job_look",
        "no list is asked for a run whose real answer named a job",
        "pipeline/evidence.py",
        '    if run.answered_job_id is not None:\n        return InDoubt("answer_named_a_job")\n',
        "",
        (RULES + "test_each_look_says_one_thing",),
    ),
    Mutant(
        "doubt_needs_proof",
        "the ledger itself ends no run in doubt without looks that counted",
        SEEN,
        "then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null\n",
        "then p_reason is not null\n",
        (FENCE + "test_a_run_in_doubt_fails_only_by_its_winners_no_or_by_looks_that_counted",),
    ),
    Mutant(
        "doubt_token",
        "only the winner's no ends a run in doubt",
        SEEN,
        "        when p_token is not null then r.token = p_token\n",
        "        when p_token is not null then (r.token = p_token or r.state = 'uncertain')\n",
        (FENCE + "test_a_run_in_doubt_fails_only_by_its_winners_no_or_by_looks_that_counted",),
    ),
)
