"""Every protection of the promise as a mutant: what to take away, and which tests must notice.

Data only; `tests.guarantee.mutants` applies them one at a time to a copy of the repository. An edit's old text must
occur exactly once in its file, so that an outdated entry is noticed.
"""

from tests.guarantee.protections.answers import ANSWERS_MUTANTS
from tests.guarantee.protections.chat import CHAT_MUTANTS
from tests.guarantee.protections.content import CONTENT_MUTANTS
from tests.guarantee.protections.evidence import EVIDENCE_MUTANTS
from tests.guarantee.protections.further import FURTHER_MUTANTS
from tests.guarantee.protections.gateways import GATEWAY_MUTANTS
from tests.guarantee.protections.lies import LIE_MUTANTS
from tests.guarantee.protections.models import MODELS_MUTANTS
from tests.guarantee.protections.mutant import Mutant
from tests.guarantee.protections.operations import OPERATIONS_MUTANTS
from tests.guarantee.protections.pages import PAGES_MUTANTS
from tests.guarantee.protections.providers import PROVIDERS_MUTANTS
from tests.guarantee.protections.records import RECORDS_MUTANTS

PROVIDER = "tests/providers/test_provider.py::"
PROTECTIONS = "tests/guarantee/short/test_protections.py::"
RULES = "tests/pipeline/purchase/test_evidence.py::"
RUN = "tests/pipeline/test_run.py::"
FENCE = "tests/ledger/purchase/test_fence.py::"
RESERVE = "tests/ledger/reserve/test_reserve.py::"
ADOPTION = "tests/ledger/purchase/test_adoption.py::"


MUTANTS = (
    Mutant(
        "reading_buys",
        "what only reads sends no request that pays",
        "providers/transport.py",
        "                if request.pays:  # not an assert",
        "                if False:  # not an assert",
        ("tests/providers/test_readings.py::test_reading_that_would_buy_sends_nothing",),
    ),
    Mutant(
        "redirects",
        "the paid request follows no redirect",
        "providers/transport.py",
        "            follow_redirects=False,\n            verify=self._tls,",
        "            follow_redirects=True,\n            verify=self._tls,",
        (PROVIDER + "test_order_redirect_is_not_followed",),
    ),
    Mutant(
        "send_counter",
        "a transport that goes off once, whatever the SDK above it does",
        "providers/transport.py",
        "            if sends > 1:  # not an assert",
        "            if False:  # not an assert",
        (PROTECTIONS + "test_order_is_sent_once_even_if_the_client_repeats",),
    ),
    Mutant(
        "fence",
        "begin_submission compares the state before it sets it",
        "supabase/schemas/06_submission.sql",
        "    if r.state <> 'approved' then\n        return jsonb_build_object('won', false, 'refused', 'state'",
        "    if false then\n        return jsonb_build_object('won', false, 'refused', 'state'",
        (FENCE + "test_first_token_wins_and_gets_the_order_and_a_second_token_is_refused",),
    ),
    Mutant(
        "token",
        "only the token that won hears `won` again",
        "supabase/schemas/06_submission.sql",
        "    if r.state = 'submitting' and r.token = p_token then",
        "    if r.state = 'submitting' then",
        (FENCE + "test_first_token_wins_and_gets_the_order_and_a_second_token_is_refused",),
    ),
    Mutant(
        "submit_deadline",
        "a process that was frozen after winning the fence does not send",
        "pipeline/purchase/submission.py",
        "        if context.boot_seconds() - asked_at > context.waits.submit_deadline.total_seconds():",
        "        if asked_at < 0:",
        (PROTECTIONS + "test_submission_resumed_after_its_deadline_sends_nothing",),
    ),
    Mutant(
        "last_line",
        "the deadline is looked at again once the connection stands",
        "providers/transport.py",
        "                before_send()  # again: connecting may have taken longer than was left",
        "                pass",
        (PROVIDER + "test_expired_deadline_sends_nothing_even_if_it_passes_while_connecting",),
    ),
    Mutant(
        "answer_file",
        "the answer is on disk before the ledger is told",
        "pipeline/purchase/submission.py",
        "        context.answers.keep(kept)",
        "        pass",
        (PROTECTIONS + "test_unrecorded_answer_is_kept_on_disk_and_replayed",),
    ),
    Mutant(
        "replay_at_start",
        "answers on disk are told to the ledger at start-up",
        "pipeline/purchase/submission.py",
        "            await book(kept, run, ours)\n",
        "            pass\n",
        (PROTECTIONS + "test_unrecorded_answer_is_kept_on_disk_and_replayed",),
    ),
    Mutant(
        "replay_in_doubt",
        "a run in doubt first looks for its answer on disk",
        "pipeline/purchase/reconcile.py",
        "    kept = context.answers.get(run.run_id)\n",
        "    kept = None\n",
        (PROTECTIONS + "test_run_in_doubt_uses_its_answer_file_first",),
    ),
    Mutant(
        "unclear_is_no_no",
        "a 500 is not taken for a clear no",
        "providers/answers.py",
        '    422: "bad_request",\n',
        '    422: "bad_request",\n    500: "bad_request",\n',
        (RUN + "test_lost_answer_is_never_ordered_again_and_its_job_is_adopted_from_the_list",),
    ),
    Mutant(
        "second_post",
        "a lost answer is not asked for with a second POST",
        "pipeline/purchase/submission.py",
        "    answer = await generate_video.submit(order, context.account.provider, check_deadline)",
        "    answer = await generate_video.submit(order, context.account.provider, check_deadline)\n"
        "    if answer.fault is not None:\n"
        "        answer = await generate_video.submit(order, context.account.provider, check_deadline)",
        (RUN + "test_lost_answer_is_never_ordered_again_and_its_job_is_adopted_from_the_list",),
    ),
    Mutant(
        "purchase_shield",
        "canceling a caller does not cancel his purchase",
        "pipeline/context.py",
        "        return await asyncio.shield(task)",
        "        return await task",
        (PROTECTIONS + "test_purchase_completes_after_its_caller_is_canceled",),
    ),
    Mutant(
        "heed",
        "a cancellation that a database call swallows is heeded all the same",
        "pipeline/ledger/transports/common.py",
        "            except LedgerUnavailable:\n                guard.check()",
        "            except LedgerUnavailable:",
        ("tests/pipeline/test_cancel.py::test_caller_is_canceled_even_if_its_ledger_call_swallows_the_cancellation",),
    ),
    Mutant(
        "seen_through",
        "whoever wins the fence is not canceled before he has sent",
        "pipeline/purchase/submission.py",
        "await context.purchases.see_through(_win_and_buy(run, context))",
        "await _win_and_buy(run, context)",
        (PROTECTIONS + "test_purchase_completes_if_its_caller_is_canceled_during_begin_submission",),
    ),
    Mutant(
        "unexplained",
        "a job that nobody explains speaks against `never made`",
        "pipeline/purchase/evidence.py",
        "    if candidates := candidates_for(run, look, books, patience):\n",
        "    if (candidates := candidates_for(run, look, books, patience)) and False:\n",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "one_404",
        "one 404 on a clip does not end a paid run",
        "pipeline/clips/ownership.py",
        "    return run.parked and run.age(run.parked_at) > parked",
        "    return True",
        (RUN + "test_parked_render_is_saved_if_its_missing_content_appears_in_time",),
    ),
    Mutant(
        "sweep_goes_on",
        "a sweep that fails goes on at the next turn",
        "pipeline/worker.py",
        "            except Exception:  # whatever",
        "            except EOFError:  # whatever",
        ("tests/pipeline/test_worker.py::test_sweep_loop_continues_after_a_failed_sweep",),
    ),
    Mutant(
        "unique_job",
        "job ids are unique in the database",
        "supabase/schemas/01_tables_runs.sql",
        "create unique index runs_job on",
        "create index runs_job on",
        (PROTECTIONS + "test_database_rejects_one_job_id_for_two_runs",),
    ),
    Mutant(
        "owner_check",
        "a job that another run owns is not recorded",
        "supabase/schemas/05_jobs.sql",
        "    if v_owner is not null and v_owner <> p_run_id then",
        "    if false then",
        (ADOPTION + "test_record_submission_follows_the_precedence_of_sources_and_owners",),
    ),
    Mutant(
        "precedence",
        "a real answer takes its job from a run that merely adopted it",
        "supabase/schemas/05_jobs.sql",
        "        if p_source <> 'answer' or v_owner_source = 'answer' then",
        "        if true then",
        (ADOPTION + "test_record_submission_follows_the_precedence_of_sources_and_owners",),
    ),
    Mutant(
        "guess_over_proof",
        "a guess does not take a job that a real answer gave",
        "supabase/schemas/05_jobs.sql",
        "        if p_source <> 'answer' or v_owner_source = 'answer' then",
        "        if false then",
        (ADOPTION + "test_record_submission_follows_the_precedence_of_sources_and_owners",),
    ),
    Mutant(
        "witness_missing",
        "a list that lacks a job of ours proves nothing (rule 6)",
        "pipeline/purchase/evidence.py",
        "all(job_id in listed for job_id in must)",
        "True",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "looks",
        "it takes five looks",
        "pipeline/purchase/evidence.py",
        "        and run.looks_complete >= looks\n",
        "",
        (PROTECTIONS + "test_never_made_requires_every_condition",),
    ),
    Mutant(
        "looks_span",
        "the looks span the grace",
        "pipeline/purchase/evidence.py",
        "        and run.last_look_at - run.first_look_at >= over\n",
        "",
        (PROTECTIONS + "test_never_made_requires_every_condition",),
    ),
    Mutant(
        "complete_looks",
        "a look that was not complete proves nothing",
        "pipeline/purchase/evidence.py",
        "    if not look.complete:\n        return look.why_incomplete\n    if look.odd_rows:",
        "    if look.odd_rows:",
        (RULES + "test_each_look_gives_the_expected_verdict",),
    ),
    Mutant(
        "two_for_one",
        "exactly as many fitting jobs as runs in doubt, or nothing is adopted",
        "pipeline/purchase/evidence.py",
        "    if not look.complete or len(jobs) != len(runs) or any(",
        "    runs, jobs = runs[: len(jobs)], jobs[: len(runs)]\n    if not look.complete or not jobs or any(",
        (PROTECTIONS + "test_run_in_doubt_with_two_matching_jobs_adopts_neither",),
    ),
    Mutant(
        "min_age",
        "nobody calls an answer lost while the request may be under way",
        "supabase/schemas/06_submission.sql",
        "    if r.token is distinct from p_token and (p_min_age_seconds is null",
        "    if false and (p_min_age_seconds is null",
        (FENCE + "test_others_can_mark_a_submission_uncertain_only_after_the_minimum_age",),
    ),
    Mutant(
        "fail_token",
        "only the winner ends a submitting run",
        "supabase/schemas/06_submission.sql",
        "        when p_token is not null then r.token = p_token and (",
        "        when p_token is not null then (r.token = p_token or r.state = 'submitting') and (",
        (FENCE + "test_only_the_winner_ends_a_submitting_run",),
    ),
    Mutant(
        "pause",
        "the kill switch works until the last moment",
        "supabase/schemas/06_submission.sql",
        "    if v_control.paused then",
        "    if false then",
        (FENCE + "test_pause_defers_an_approved_run_and_resume_makes_it_due",),
    ),
    Mutant(
        "breaker",
        "the breaker works until the last moment",
        "supabase/schemas/06_submission.sql",
        "    if v_until is not null then\n        perform onetake.defer",
        "    if false then\n        perform onetake.defer",
        (
            "tests/ledger/reserve/test_breaker.py::test_the_fourth_submission_of_a_user_in_a_minute_opens_that_users_breaker",
        ),
    ),
    Mutant(
        "idempotency",
        "the same key is the same run",
        "supabase/schemas/04_reserve.sql",
        "    if v_answer is not null then return v_answer; end if;\n\n    v_answer := onetake.first_refusal",
        "\n    v_answer := onetake.first_refusal",
        (RESERVE + "test_known_key_returns_the_same_run_even_if_a_new_request_would_be_refused",),
    ),
    Mutant(
        "duplicate",
        "the same wish within the window is a duplicate",
        "supabase/schemas/04_reserve.sql",
        "    if not p_again then",
        "    if false then",
        (RESERVE + "test_same_prompt_is_a_duplicate_for_exactly_five_minutes_after_delivery",),
    ),
    Mutant(
        "lease",
        "a lease that holds is not taken, though the check before it were gone",
        "supabase/schemas/04_reserve.sql",
        "        where p_again or l.expires_at <= v_now;",
        "        where true;",
        (PROTECTIONS + "test_lease_rejects_a_second_run_even_without_the_check_before_it",),
    ),
    Mutant(
        "user_mutex",
        "writing the user's row makes one request of a user wait for the other",
        "supabase/schemas/04_reserve.sql",
        "        on conflict (user_id) do update set version = onetake.users.version + 1\n        returning * into u;",
        "        on conflict (user_id) do nothing;\n    select * into u from onetake.users where user_id = p_user_id;",
        (PROTECTIONS + "test_two_simultaneous_requests_of_a_known_user_start_one_run",),
    ),
    Mutant(
        "budget",
        "the budget is taken by a conditional update",
        "supabase/schemas/04_reserve.sql",
        "        where period = v_day and held_microusd + spent_microusd + p_price"
        " <= onetake.limit_value('budget_day_microusd');",
        "        where period = v_day;",
        (RESERVE + "test_budget_can_be_used_up_exactly_but_not_exceeded",),
    ),
    Mutant(
        "own_provider",
        "a run is settled only against its own provider and key",
        "pipeline/purchase/reconcile.py",
        "    if not context.account.matches(run):\n        return await _left_to_others(run, context)",
        "",
        (PROTECTIONS + "test_run_in_doubt_is_not_matched_at_another_provider",),
    ),
    Mutant(
        "confirm_after_handling",
        "an update is confirmed only once it was handled",
        "bot/transport/polling.py",
        "        await _handle(updates, feed)\n",
        "        await _confirm(bot, (number_of(batch[-1]) or 0) + 1 if batch else 0)\n"
        "        await _handle(updates, feed)\n",
        ("tests/bot/transport/test_polling.py::test_update_is_retried_until_the_ledger_is_available",),
    ),
    Mutant(
        "key_of_a_message",
        "a message that comes again is the same wish",
        "bot/delivery/address.py",
        '    return ":".join(map(str, ("tg", bot_id, chat_id, message_id, *tap)))',
        '    return ":".join(map(str, ("tg", bot_id, chat_id, message_id, *tap, __import__("uuid").uuid4())))',
        ("tests/bot/requests/test_create.py::test_the_same_update_twice_is_one_run_and_one_card",),
    ),
    Mutant(
        "brought_before_told",
        "a video counts as delivered only once Telegram has it",
        "bot/delivery/delivery.py",
        "        sent = await self.send(run, address)\n        file_id",
        "        await self._notifications.mark_notified(run, delivered=True)\n"
        "        sent = await self.send(run, address)\n        file_id",
        ("tests/guarantee/short/test_telegram.py::test_bot_killed_at_sampled_points_buys_and_delivers_one_video",),
    ),
    Mutant(
        "places",
        "the provider's places are counted for all machines together",
        "supabase/schemas/06_submission.sql",
        "    if (p_in_flight_max is not null or p_creates_per_minute is not null)\n",
        "    if false\n",
        ("tests/ledger/reserve/test_slots.py::test_runs_in_flight_never_exceed_the_slots_of_the_provider",),
    ),
    Mutant(
        "meant",
        "a tap on Create is a yes to what its card shows",
        "supabase/schemas/08_runs.sql",
        "       and r.seconds = coalesce(p_seconds, r.seconds) and r.size = coalesce(p_size, r.size)\n",
        "",
        ("tests/bot/requests/test_stale_buttons.py::test_create_orders_nothing_if_its_card_shows_an_outdated_price",),
    ),
    Mutant(
        "retry_of_nothing",
        "Try again is only for what came to nothing",
        "bot/requests/run_buttons.py",
        "    if t.run.state in {State.FAILED, State.CANCELED}:",
        "    if True:",
        ("tests/bot/requests/test_stale_buttons.py::test_try_again_on_a_delivered_run_buys_nothing",),
    ),
    *ANSWERS_MUTANTS,
    *CHAT_MUTANTS,
    *CONTENT_MUTANTS,
    *EVIDENCE_MUTANTS,
    *GATEWAY_MUTANTS,
    *FURTHER_MUTANTS,
    *LIE_MUTANTS,
    *PAGES_MUTANTS,
    *PROVIDERS_MUTANTS,
    *MODELS_MUTANTS,
    *OPERATIONS_MUTANTS,
    *RECORDS_MUTANTS,
)
