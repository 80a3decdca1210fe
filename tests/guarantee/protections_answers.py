"""What an answer proves: a refusal in the provider's own words, a job that describes itself, at its own address."""

from tests.guarantee.mutant import Mutant

PROTOCOL = "tests/steps/test_videos_protocol.py::"
REFUSED = "tests/steps/test_refused_orders.py::"
MISREAD = "tests/pipeline/test_misread_answers.py::"
SEEN_JOBS = "tests/ledger/test_seen_jobs.py::"
SEEN = "supabase/migrations/20261129000300_seen_jobs.sql"

ANSWERS_MUTANTS = (
    # -- a refusal that is none
    Mutant(
        "refusal_names_job",
        "a refusal that names a job is no clear no",
        "steps/videos_protocol.py",
        "    job = read_job(answer.body) if made else read_job_in_refusal(answer.body, answer.status)\n",
        "    job = read_job(answer.body) if made else None\n",
        (REFUSED + "test_a_refusal_that_names_a_job_refuses_nothing",),
    ),
    Mutant(
        "conflict",
        "the job that a conflict names may be somebody else's",
        "steps/videos_protocol.py",
        "    if exists and status not in NAMES_OTHERS:",
        "    if exists:",
        (REFUSED + "test_a_conflict_may_name_the_job_of_somebody_else",),
    ),
    Mutant(
        "proxy_page",
        "a refusal counts only in an error form of a provider",
        "steps/videos_protocol.py",
        "    if not is_error_form(answer.body):",
        "    if False:",
        (REFUSED + "test_a_refusal_that_is_not_in_an_error_form_of_a_provider_is_unclear",),
    ),
    Mutant(
        "our_key",
        "our own key is no job's id",
        "steps/videos_protocol.py",
        "    if job and our_key and",
        "    if False and job and",
        (REFUSED + "test_our_own_key_is_no_job",),
    ),
    Mutant(
        "our_key_told",
        "the fence says which key it sent",
        "pipeline/fence.py",
        ", our_key=str(kept.run_id))",
        ")",
        (MISREAD + "test_what_is_no_answer_of_the_provider_leaves_the_run_in_doubt_and_is_kept",),
    ),
    # -- rule 1: a body about the job
    Mutant(
        "id_first",
        "where a body has an `id`, no other field makes it our job's",
        "steps/video_jobs.py",
        '    if row.get("id") not in (None, ""):\n',
        '    if row.get("id") == job_id:\n',
        (PROTOCOL + "test_a_body_that_names_another_job_or_an_error_is_a_failed_read",),
    ),
    Mutant(
        "echo",
        "a body that only echoes our id says of no job that it failed",
        "steps/generate_video.py",
        "    if not (job.named and job.described):",
        "    if not job.named:",
        (MISREAD + "test_an_error_that_echoes_the_jobs_id_ends_nothing",),
    ),
    Mutant(
        "echo_completed",
        "a job that is called completed and shows nothing else has not expired",
        "pipeline/render.py",
        "job.named and job.described and gone:",
        "job.named and gone:",
        (MISREAD + "test_a_completed_job_that_shows_nothing_else_has_not_expired_however_long_its_clip_is_missing",),
    ),
    # -- rule 2: a failure, shown at the job's own address
    Mutant(
        "not_found_agrees",
        "`not found` agrees only with a failure that the job's own address showed",
        "pipeline/render.py",
        "        failing_words=run.failing_words if run.failure_shown else None,",
        "        failing_words=run.failing_words,",
        (MISREAD + "test_an_answer_that_names_its_request_fails_no_run_and_tells_of_no_second_call",),
    ),
    Mutant(
        "seen_failing",
        "the ledger itself fails no run by a job whose own address never showed a failure",
        SEEN,
        "            and r.job_seen_at >= r.failing_since\n",
        "",
        (SEEN_JOBS + "test_a_failure_counts_only_once_it_was_shown_at_the_jobs_own_address",),
    ),
    Mutant(
        "seen_before",
        "a job that was seen before it was said to fail was not seen failing",
        SEEN,
        "            and r.job_seen_at >= r.failing_since\n",
        "            and r.job_seen_at is not null\n",
        (SEEN_JOBS + "test_a_job_that_was_seen_before_it_was_said_to_fail_has_not_been_seen_failing",),
    ),
    Mutant(
        "seen_otherwise",
        "a look that shows the job otherwise takes its failure back, whoever looks",
        SEEN,
        "            failing_since = case when r.job_id = p_job_id then null else failing_since end,\n",
        "",
        (SEEN_JOBS + "test_a_look_that_shows_the_job_otherwise_takes_its_failure_back",),
    ),
    Mutant(
        "another_seen",
        "another job of a run has not been seen yet",
        SEEN,
        "    new.job_seen_at := null;\n",
        "",
        (SEEN_JOBS + "test_another_job_of_a_run_has_not_been_seen",),
    ),
    # -- rule 8: two jobs that exist
    Mutant(
        "second_exists",
        "an audit counts no id that was never seen as the first of two paid calls",
        "pipeline/comparison.py",
        "    if run.job_exists:\n",
        "    if True:\n",
        (MISREAD + "test_an_answer_that_names_its_request_fails_no_run_and_tells_of_no_second_call",),
    ),
    Mutant(
        "second_exists_sql",
        "the ledger counts no id that was never seen as the first of two paid calls",
        SEEN,
        "        when onetake.job_exists(r.base_url, p_job_id) then",
        "        when true then",
        (SEEN_JOBS + "test_a_second_answer_beside_an_id_that_was_never_seen_is_nobodys_job_and_no_second_paid_call",),
    ),
    Mutant(
        "second_kept",
        "a second job that an audit finds, too, still blocks the failure of its run",
        SEEN,
        "ref = coalesce(excluded.ref, d.ref)",
        "ref = excluded.ref",
        (SEEN_JOBS + "test_a_second_answer_beside_an_id_that_was_never_seen_is_nobodys_job_and_no_second_paid_call",),
    ),
    Mutant(
        "found_otherwise",
        "an error with an id takes no job from a run that found one meanwhile",
        "pipeline/fence.py",
        "    if await _found_otherwise(kept, job, world):",
        "    if False:",
        ("tests/pipeline/test_fence.py::test_an_error_with_an_id_takes_no_job_from_a_run_that_found_one_meanwhile",),
    ),
    Mutant(
        "replaced_unseen",
        "a person replaces only a job that the provider has never shown",
        SEEN,
        "or not onetake.job_exists(r.base_url, r.job_id))",
        "or true)",
        ("tests/ledger/test_adoption.py::test_a_job_becomes_a_runs_as_the_table_of_precedence_says",),
    ),
    Mutant(
        "replayed_over",
        "a replayed answer overrules no person",
        SEEN,
        "    if v_answered is not null and r.state",
        "    if false and r.state",
        (SEEN_JOBS + "test_a_person_replaces_a_job_that_the_provider_has_never_shown_and_no_replay_brings_it_back",),
    ),
)
