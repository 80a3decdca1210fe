"""The consequences of an answer; rules 7 to 12 of docs/design.md, "Evidence"; addresses that a job names."""

from tests.guarantee.protections.mutant import Mutant

ANSWERS = "tests/pipeline/purchase/test_fence.py::"
RULES = "tests/pipeline/purchase/test_evidence.py::"
AUDIT = "tests/pipeline/purchase/test_audit.py::"
PROTOCOL = "tests/providers/openai_videos/test_videos_protocol.py::"
PROOF = "tests/ledger/purchase/test_proof.py::"
RECONCILE = "tests/pipeline/purchase/test_reconcile.py::"
SETTLING = "tests/pipeline/purchase/test_settling.py::"
VIDEO = "tests/steps/test_generate_video.py::"

RECORDS_MUTANTS = (
    # -- the fence, and the consequences of an answer
    Mutant(
        "asked_at",
        "the submit deadline counts from before the fence was asked",
        "pipeline/purchase/submission.py",
        "    asked_at = context.boot_seconds()\n"
        "    fence = await context.ledger.begin_submission("
        "run.run_id, token, context.account.slots, context.waits.request_over)\n",
        "    fence = await context.ledger.begin_submission("
        "run.run_id, token, context.account.slots, context.waits.request_over)\n"
        "    asked_at = context.boot_seconds()\n",
        (ANSWERS + "test_time_spent_waiting_for_the_fence_counts_against_the_submit_deadline",),
    ),
    Mutant(
        "already_sent",
        "a run whose answer is on disk is not sent again",
        "pipeline/purchase/submission.py",
        "    if context.answers.has(run.run_id) or run.callback_job_id is not None:\n",
        "    if False:\n",
        (ANSWERS + "test_run_with_an_answer_on_disk_is_not_ordered_again_after_a_ledger_restore",),
    ),
    Mutant(
        "already_sent_sweep",
        "an answer on disk ends the run that a restored ledger would send again, before its file goes",
        "pipeline/purchase/submission.py",
        "                if run.state not in NOT_SENT or await _fail_already_sent(run, context):\n",
        "                if True:\n",
        (ANSWERS + "test_worker_of_a_restored_ledger_does_not_order_again",),
    ),
    Mutant(
        "damaged_answer",
        "an answer that cannot be read was an answer nevertheless",
        "pipeline/purchase/answer_files.py",
        "        return self._path(run_id).exists()\n",
        "        return self.get(run_id) is not None\n",
        (ANSWERS + "test_damaged_answer_on_disk_prevents_a_second_order",),
    ),
    Mutant(
        "own_429",
        "the configured provider's rule for 429 does not apply to another provider's answer",
        "pipeline/purchase/submission.py",
        "    refuses_429 = context.account.matches(run) and context.account",
        "    refuses_429 = context.account",
        (ANSWERS + "test_the_configured_providers_rule_for_429_does_not_apply_to_another_providers_answer",),
    ),
    Mutant(
        "owned_job",
        "an answer that names another run's job leaves the run in doubt",
        "pipeline/purchase/submission.py",
        '    if recorded.why == "owned":',
        "    if False:",
        (ANSWERS + "test_an_answer_that_names_another_runs_job_leaves_the_run_in_doubt",),
    ),
    Mutant(
        "late_no",
        "a clear no ends the run also after it was called uncertain, or adopted a job",
        "pipeline/purchase/submission.py",
        "    for state in (State.SUBMITTING, State.UNCERTAIN, State.RENDERING):",
        "    for state in (State.SUBMITTING,):",
        (ANSWERS + "test_clear_refusal_fails_a_submitting_uncertain_or_adopted_run",),
    ),
    Mutant(
        "gateway_retried",
        "a no after a gateway's own attempts is unclear",
        "providers/answers.py",
        "    if answer.attempts:  # the refusal",
        "    if False:  # the refusal",
        (PROTOCOL + "test_refusal_after_gateway_retries_is_unclear",),
    ),
    Mutant(
        "request_over",
        "a request is over only after its timeout and a slack",
        "pipeline/settings/parts.py",
        "        return self.submit_deadline + self.connect_timeout + self.request_timeout + self.request_slack",
        "        return self.submit_deadline + self.connect_timeout",
        (RECONCILE + "test_request_is_over_after_submit_connect_request_and_slack_seconds",),
    ),
    Mutant(
        "request_of_another_machine",
        "a request is not over before the deadlines of the machine that sent it",
        "pipeline/purchase/reconcile.py",
        "    return max(waits.request_over, timedelta(seconds=run.request_seconds or 0))",
        "    return waits.request_over",
        (ANSWERS + "test_machine_with_shorter_deadlines_waits_for_the_senders_deadline",),
    ),
    # -- rule 7: time is a hint
    Mutant(
        "time_rules_out",
        "no job is left out of a look because of its time",
        "pipeline/purchase/evidence.py",
        "could_be(job, order, faithful)]\n",
        "could_be(job, order, faithful)]\n"
        "    since = run.submitting_at.timestamp() if run.submitting_at else 0\n"
        "    unowned = [job for job in unowned if (job.created_at or 0) >= since]\n",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "time_rules_out_audit",
        "no job is left out of an audit because of its time",
        "pipeline/purchase/comparison.py",
        "    unowned = [job for job in both.look.jobs if job.key not in both.books.owned]\n",
        "    since = both.since.timestamp()\n"
        "    unowned = [job for job in both.look.jobs if job.key not in both.books.owned]\n"
        "    unowned = [job for job in unowned if (job.created_at or 0) >= since]\n",
        (AUDIT + "test_comparison_reports_the_expected_kinds_of_difference",),
    ),
    # -- rule 8: two jobs for one run
    Mutant(
        "second_id",
        "a second id under one token overwrites nothing",
        "supabase/schemas/05_jobs.sql",
        "        if onetake.canonical_id(coalesce(r.answered_job_id, p_job_id)) <> onetake.canonical_id(p_job_id) then",
        "        if false then",
        (PROOF + "test_second_answer_of_a_run_in_doubt_counts_as_two_paid_calls_and_is_not_adopted",),
    ),
    Mutant(
        "two_jobs",
        "a run with two jobs does not fail until each is explained",
        "supabase/schemas/05_jobs.sql",
        "    select exists (select from onetake.differences d where d.ref = r.ref and d.closed_at is null\n",
        "    select exists (select from onetake.differences d where false\n",
        (PROOF + "test_second_answer_counts_as_two_paid_calls_until_explained",),
    ),
    # -- rule 9: nothing said is thrown away
    Mutant(
        "stray",
        "a kept answer with another token reaches the operators",
        "pipeline/purchase/submission.py",
        '                await _keep_stray(kept, "another_token", context)\n',
        "",
        (ANSWERS + "test_kept_answer_that_fits_no_run_becomes_a_stray_answer_for_operators",),
    ),
    Mutant(
        "unclear_kept",
        "an unclear answer stays on the run's timeline",
        "pipeline/purchase/submission.py",
        "token=kept.token, ms=ms, answer=shown)",
        "token=kept.token, ms=ms)",
        (ANSWERS + "test_an_unclear_answer_is_kept_on_the_timeline",),
    ),
    Mutant(
        "storable",
        "what PostgreSQL cannot keep is taken out of all that goes to the ledger",
        "pipeline/ledger/transports/common.py",
        "        args = {key: storable(value) for key, value in args.items()}\n",
        "",
        (
            "tests/pipeline/ledger/test_transport.py::test_nul_and_lone_surrogates_are_cleaned_from_arguments_at_any_depth",
        ),
    ),
    Mutant(
        "body_bound",
        "no answer is read into memory past a bound",
        "net/unpacked.py",
        "            if read > bytes_max:",
        "            if False:",
        ("tests/net/test_bounded_body.py::test_body_size_limit_applies_to_plain_and_compressed_answers",),
    ),
    # -- rule 10: before the fence
    Mutant(
        "probe",
        "what a folder cannot take is not bought",
        "pipeline/purchase/submission.py",
        "            probe_folder(folder)\n",
        "            pass\n",
        (ANSWERS + "test_approved_run_is_not_ordered_if_the_media_folder_is_unusable",),
    ),
    # -- rule 11: a person's word is checked
    Mutant(
        "found_unseen",
        "a job that a person names is looked up",
        "pipeline/purchase/settling.py",
        "    if isinstance(seen, NotSeen) and not unseen:\n",
        "    if False:\n",
        (SETTLING + "test_job_named_by_a_person_must_match_what_the_provider_shows_unless_they_insist",),
    ),
    Mutant(
        "found_differs",
        "a job that differs from the order is taken only despite that",
        "pipeline/purchase/settling.py",
        "    if isinstance(seen, Contradicts) and not despite:\n",
        "    if False:\n",
        (SETTLING + "test_job_named_by_a_person_must_match_what_the_provider_shows_unless_they_insist",),
    ),
    Mutant(
        "not_charged_looks_now",
        "`not charged` reads the list once more: the last look may be hours old",
        "pipeline/purchase/settling.py",
        "        if listed is None:  # the list proves nothing now: the last look counts\n",
        "        if True:\n",
        (SETTLING + "test_not_charged_scans_the_list_again_before_it_settles",),
    ),
    Mutant(
        "list_that_proves_nothing",
        "a list that proves nothing does not take back the candidate of an earlier look",
        "pipeline/purchase/settling.py",
        "    return () if isinstance(verdict, Absent) else None\n",
        "    return ()\n",
        (SETTLING + "test_list_that_proves_nothing_does_not_withdraw_an_earlier_candidate",),
    ),
    Mutant(
        "early",
        "`not charged` waits until the job can no longer turn up",
        "supabase/schemas/13_settling_and_audit.sql",
        "    if not p_early and clock_timestamp() <",
        "    if false and clock_timestamp() <",
        (PROOF + "test_settling_as_not_charged_is_refused_while_the_job_may_still_turn_up",),
    ),
    Mutant(
        "bought_again",
        "`not charged` is not taken back once something was bought in its place",
        "supabase/schemas/13_settling_and_audit.sql",
        "and o.run_id <> r.run_id and o.reserved_at > r.failed_at\n",
        "and false\n",
        (PROOF + "test_not_charged_can_be_taken_back_only_if_the_prompt_was_not_bought_again",),
    ),
    Mutant(
        "admin_in_group",
        "operators have no buttons in a group, where others could tap them",
        "bot/admin/panel.py",
        '    router.message.register(admin, Command("admin", ignore_case=True), private)\n',
        '    router.message.register(admin, Command("admin", ignore_case=True))\n',
        ("tests/bot/admin/test_admin.py::test_admin_command_in_a_group_changes_nothing",),
    ),
    # -- rule 12: the audit trusts nobody
    Mutant(
        "audit_shows_all",
        "an audit of a list that hides jobs is not complete",
        "pipeline/purchase/differences.py",
        '"list_hides_jobs": self.shows_all',
        '"list_hides_jobs": True',
        (AUDIT + "test_an_audit_is_complete_only_if_its_list_shows_everything_in_order",),
    ),
    Mutant(
        "audit_in_order",
        "an audit of a list out of order is not complete",
        "pipeline/purchase/differences.py",
        'matching.in_order(self.look, self.answered),\n            "times',
        'True,\n            "times',
        (AUDIT + "test_an_audit_is_complete_only_if_its_list_shows_everything_in_order",),
    ),
    Mutant(
        "audit_odd_rows",
        "an audit of a list with a row that cannot be read is not complete",
        "pipeline/purchase/differences.py",
        '"unreadable_row": not self.look.odd_rows',
        '"unreadable_row": True',
        (AUDIT + "test_an_audit_is_complete_only_if_its_list_shows_everything_in_order",),
    ),
    Mutant(
        "charged_without_clip",
        "money spent without a clip here is a difference",
        "pipeline/purchase/comparison.py",
        "        if run.spent_microusd and run.file is None and run.state is State.FAILED:",
        "        if False:",
        (AUDIT + "test_comparison_reports_the_expected_kinds_of_difference",),
    ),
    Mutant(
        "audited_thirty_days",
        "a run that failed after its POST stays in the audit for thirty days",
        "supabase/schemas/13_settling_and_audit.sql",
        "           or r.state in ('submitting', 'uncertain', 'rendering')\n"
        "           or (r.state = 'failed' and r.reason not in ('never_sent', 'never_connected')));",
        "           or r.state in ('submitting', 'uncertain', 'rendering'));",
        (PROOF + "test_a_run_open_at_the_last_audit_is_audited_again_after_it_ended",),
    ),
    Mutant(
        "could_be_ours",
        "a day with an unowned job that could be an order of ours is not proven",
        "supabase/schemas/13_settling_and_audit.sql",
        "(kind = 'perhaps_two_paid_calls' or could_be_ours))",
        "kind = 'perhaps_two_paid_calls')",
        (PROOF + "test_a_day_is_clean_only_if_no_job_may_be_a_second_purchase",),
    ),
    Mutant(
        "forgotten_difference",
        "a difference stays open though the list forgets its job",
        "supabase/schemas/13_settling_and_audit.sql",
        "          and onetake.is_explained(d, p_listed);",
        "          and (onetake.is_explained(d, p_listed) or not p_listed ? d.job_id);",
        (PROOF + "test_difference_stays_open_until_explained_even_if_a_later_audit_misses_it",),
    ),
    Mutant(
        "told_once",
        "a difference is told once, not by every audit",
        "supabase/schemas/12_operators.sql",
        "d.subject || ':' || extract(epoch from d.first_at)::bigint,",
        "d.subject || ':' || extract(epoch from d.last_at),",
        (PROOF + "test_difference_stays_open_until_explained_even_if_a_later_audit_misses_it",),
    ),
    # -- addresses that a job names
    Mutant(
        "private_address",
        "no address of our own network is fetched from",
        "providers/clips/clip_url.py",
        "        if not (is_public(address) or (local and is_private(address))):",
        "        if False:",
        ("tests/providers/test_clip_url.py::test_clip_at_a_non_public_address_is_not_requested",),
    ),
    Mutant(
        "key_to_address",
        "an address that a job names does not get the provider's key",
        "providers/transport.py",
        "                return await self._fetch_elsewhere(url, into, REDIRECTS_MAX)",
        '                headers = {"Authorization": f"Bearer {self._sdk.api_key}"}\n'
        "                async with httpx2.AsyncClient(timeout=self._timeout) as http:\n"
        "                    return await download(http, url, into, headers=headers, extensions={})",
        (VIDEO + "test_clip_missing_at_content_is_fetched_from_the_jobs_url_without_the_key",),
    ),
    Mutant(
        "redirect_checked",
        "content that leads to another server is fetched as an address that a job names",
        "providers/transport.py",
        "                if not same_server(url, home):",
        "                if False:",
        (
            "tests/providers/test_download.py::test_clip_redirect_to_a_forbidden_address_is_not_followed",
            "tests/providers/test_download.py::test_clip_redirect_to_another_server_is_followed_without_the_key",
        ),
    ),
    Mutant(
        "redirects_together",
        "redirects at the provider and elsewhere have one limit",
        "providers/transport.py",
        "self._fetch_elsewhere(str(url), into, left - 1)",
        "self._fetch_elsewhere(str(url), into, REDIRECTS_MAX)",
        ("tests/providers/test_download.py::test_limit_of_five_redirects_counts_same_host_and_other_hosts_together",),
    ),
    Mutant(
        "no_content_route",
        "a server without a route for content is asked at the address that its job names",
        "steps/generate_video.py",
        "got.status in NOT_IMPLEMENTED | ANSWERED)",
        "got.status in ANSWERED)",
        (VIDEO + "test_clip_missing_at_content_is_fetched_from_the_jobs_url_without_the_key",),
    ),
    Mutant(
        "bucket_hash",
        "what comes from the bucket is the run's clip only if its hash is",
        "pipeline/clips/storage.py",
        "        if sha256 is not None and sha256 == run.file_sha256:",
        "        if sha256 is not None:",
        ("tests/pipeline/clips/test_bucket.py::test_unobtainable_clip_raises_file_not_found",),
    ),
    Mutant(
        "lost_clip_again",
        "a paid clip that is lost here is fetched from the provider again",
        "pipeline/clips/storage.py",
        "        for source in (_from_bucket, _from_provider):\n",
        "        for source in (_from_bucket,):\n",
        ("tests/pipeline/clips/test_folders.py::test_saved_clip_lost_on_disk_is_fetched_again_from_the_provider",),
    ),
    Mutant(
        "lost_clip_told",
        "operators hear at once of a saved clip that nobody has",
        "bot/delivery/delivery.py",
        "            await self._notifications.undelivered(run, _why(error))  # now",
        "            pass  # now",
        (
            "tests/bot/delivery/test_deliver.py::test_clip_missing_on_this_machine_stays_undelivered_and_alerts_the_operators",
        ),
    ),
)
