"""Protections of operators, and of all users against one: checks, limits, disks and sockets."""

from tests.guarantee.protections.mutant import Mutant

VERBS = "tests/cli/commands/test_verbs.py::"
LOOKS = "tests/ledger/purchase/test_looks.py::"
BREAKER = "tests/ledger/reserve/test_breaker.py::"
ORDER = "tests/ledger/reserve/test_order.py::"
FOLDERS = "tests/pipeline/clips/test_folders.py::"
LISTENING = "tests/net/test_listening.py::"
TAPS = "tests/bot/requests/test_run_taps.py::"
PSYCOPG = "tests/pipeline/ledger/test_transport_psycopg.py::"
ADMIN = "tests/bot/admin/test_admin.py::"
ENV_FILE = "tests/pipeline/settings/test_env_file.py::"
SWITCHES = "tests/cli/commands/test_switches.py::"

OPERATIONS_MUTANTS = (
    Mutant(
        "missing_queue",
        "a database without its queue is not called ready",
        "app/ledger_session.py",
        "            elif not migrate.queue_is_there(dsn):\n",
        "            elif False:\n",
        ("tests/cli/commands/test_database.py::test_missing_queue_error_names_the_migrate_command",),
    ),
    Mutant(
        "schema_cache",
        "PostgREST reads the schema again after a migration",
        "pipeline/ledger/migrate.py",
        "        connection.execute(RELOAD)\n",
        "",
        ("tests/pipeline/ledger/test_migrate.py::test_migrating_notifies_postgrest_to_reload_its_schema",),
    ),
    # -- one user against all others
    Mutant(
        "look_told_again",
        "a look whose answer was lost counts once",
        "supabase/schemas/07_reconcile.sql",
        "            where run_id = p_run_id and step = 'reconcile' and detail ->> 'look_id' = p_look_id::text) then\n",
        "            where false) then\n",
        (LOOKS + "test_one_look_recorded_repeatedly_counts_once",),
    ),
    Mutant(
        "look_of_its_own",
        "each look has an id of its own",
        "pipeline/ledger/client.py",
        "            look_id=uuid4(),\n",
        "            look_id=run_id,\n",
        (LOOKS + "test_each_look_has_its_own_id_and_retries_reuse_it",),
    ),
    Mutant(
        "one_users_failures",
        "one user's failures do not stop everybody",
        "supabase/schemas/03_state_machine.sql",
        "    if v_of is not null and v_before + 1 >= onetake.limit_value('breaker_failures') then\n",
        "    v_of := null;\n    if false then\n",
        (BREAKER + "test_failures_of_one_user_open_only_that_users_breaker",),
    ),
    Mutant(
        "bad_key_stops_all",
        "what no prompt causes stops everybody, also if one user met it",
        "supabase/schemas/03_state_machine.sql",
        "            and reason in ('unauthorized', 'no_credit', 'not_found', 'rate_limited', 'never_connected'));\n",
        "            and false);\n",
        (BREAKER + "test_failures_unrelated_to_the_prompt_open_the_breaker_for_all_users",),
    ),
    Mutant(
        "canceled_drafts",
        "canceled drafts are counted: each prompt was checked",
        "supabase/schemas/04_reserve.sql",
        "            and r.state = 'canceled' and r.reason is distinct from 'edited')\n",
        "            and false)\n",
        (ORDER + "test_the_thirtieth_canceled_draft_of_the_day_is_the_last",),
    ),
    # -- what operators see
    Mutant(
        "budget_without_room",
        "a budget without room for an order is told",
        "supabase/schemas/12_operators.sql",
        "        where exists (select from onetake.events e where e.step = 'check_limits'",
        "        where false and exists (select from onetake.events e where e.step = 'check_limits'",
        (ADMIN + "test_budget_exhausted_alert_is_sent_once_per_budget_amount",),
    ),
    # -- disks
    Mutant(
        "read_only_folder",
        "a media folder that becomes read-only is handled like a full disk",
        "pipeline/clips/render.py",
        "    except OSError as error:  # full",
        "    except PermissionError as error:  # full",
        (FOLDERS + "test_unwritable_media_folder_is_retried_and_alerted_once",),
    ),
    Mutant(
        "folder_before_words",
        "the text model is not asked for a run whose clip could not be kept",
        "pipeline/run.py",
        "            row = await submission.check_folders(row, context)\n",
        "            pass\n",
        (FOLDERS + "test_unusable_media_folder_fails_the_run_before_any_text_model_call",),
    ),
    Mutant(
        "answer_not_dropped",
        "a folder that lets no answer file go does not end the sweep",
        "pipeline/purchase/answer_files.py",
        "        except OSError as error:\n            if run_id",
        "        except FileNotFoundError as error:\n            if run_id",
        ("tests/pipeline/purchase/test_answers.py::test_failed_delete_is_logged_once_and_keeps_the_answer",),
    ),
    # -- prompts
    Mutant(
        "unseen_characters",
        "a character that nobody sees does not make another prompt",
        "steps/check_limits.py",
        "_visible(prompt).casefold()",
        "prompt.casefold()",
        ("tests/steps/test_check_limits.py::test_prompt_hash_ignores_invisible_characters",),
    ),
    Mutant(
        "emoji_sequences",
        "emoji sequences that differ are different prompts",
        "steps/check_limits.py",
        "        if c == JOINER and not (_is_picture(before) and _is_picture(following)):\n",
        "        if c == JOINER:\n",
        ("tests/steps/test_check_limits.py::test_different_emoji_sequences_hash_differently",),
    ),
    # -- sockets
    Mutant(
        "header_deadline",
        "a socket that sends no headers is closed",
        "net/http_server.py",
        "call_later(self._crowd.header_seconds, self.end)",
        "call_later(1e9, self.end)",
        (LISTENING + "test_headers_have_a_deadline",),
    ),
    Mutant(
        "silent_crowd",
        "one connection too many closes one that asked for nothing, and not one that did",
        "net/http_server.py",
        "next(iter(self._new), None) or next(iter(self._heard))",
        "next(iter(self._heard), None) or next(iter(self._new))",
        (LISTENING + "test_silent_connections_do_not_block_new_clients",),
    ),
    Mutant(
        "no_descriptors",
        "running out of descriptors is logged once",
        "net/http_server.py",
        "            if times := seldom():\n                log.error",
        "            if times := 1:\n                log.error",
        (LISTENING + "test_running_out_of_file_descriptors_is_logged_once_and_recovers",),
    ),
    Mutant(
        "guesses_wait",
        "a guessed webhook secret is answered slowly",
        "bot/transport/webhook.py",
        "            await asyncio.sleep(WRONG_SECRET_SECONDS)\n",
        "            await asyncio.sleep(0)\n",
        ("tests/bot/test_over_http.py::test_wrong_secrets_are_throttled_logged_once_and_do_not_delay_updates",),
    ),
    # -- numbers
    Mutant(
        "given_back",
        "what is given back was ordered first",
        "supabase/schemas/14_reporting.sql",
        " filter (where submitting_at is not null) as released",
        " as released",
        (VERBS + "test_stats_count_only_ordered_runs_as_given_back_and_paid_calls_add_up",),
    ),
    Mutant(
        "one_for_one_user",
        "failures of one user count as one for everybody else",
        "supabase/schemas/03_state_machine.sql",
        "end) is not null then v_before := 1; end if;",
        "end) is not null then null; end if;",
        (
            "tests/ledger/reserve/test_breaker.py::test_failures_of_one_user_count_once_towards_the_breaker_for_all_users",
        ),
    ),
    Mutant(
        "room_reserved",
        "room for a clip is reserved before anything is bought",
        "steps/save_video.py",
        "            _reserve(file.fileno())\n",
        "",
        (
            "tests/pipeline/clips/test_folders.py::test_file_size_limit_below_a_clip_fails_the_run_before_anything_is_bought",
        ),
    ),
    Mutant(
        "blank_lines",
        "blank lines before a request are none of its headers",
        "net/http_server.py",
        'sent if self._begun else sent.lstrip(b"\\r\\n")',
        "sent",
        ("tests/net/test_listening.py::test_headers_have_a_deadline",),
    ),
    Mutant(
        "assertions_on",
        "nothing starts without the assertions that guard a purchase",
        "cli/main.py",
        "    if not __debug__:\n",
        "    if False:\n",
        ("tests/cli/test_exits.py::test_command_refuses_to_start_with_assertions_disabled",),
    ),
    Mutant(
        "not_renamed",
        "a saved clip that cannot get its name yet breaks no delivery",
        "pipeline/clips/storage.py",
        "    except OSError as error:  # busy",
        "    except ZeroDivisionError as error:  # busy",
        (FOLDERS + "test_saved_clip_that_cannot_be_renamed_yet_is_still_available",),
    ),
    Mutant(
        "numbers_on_buttons",
        "a number on a button is one that the ledger can take",
        "bot/callback_data.py",
        '(pattern=r"^([0-9]{0,6}|([0-9]{1,6}-)?[0-9]{1,6}x[0-9]{1,6})$")',
        '(pattern=r"^[0-9x-]{0,20}$")',
        (TAPS + "test_tap_with_forged_callback_data_is_answered_without_an_error",),
    ),
    Mutant(
        "another_type",
        "a value of another type is not called a missing schema",
        "pipeline/ledger/transports/over_psycopg.py",
        '            if f"public.{name}(" in str(error) and await',
        "            if False and await",
        (PSYCOPG + "test_argument_of_the_wrong_type_is_refused_not_reported_as_a_missing_schema",),
    ),
    Mutant(
        "malformed_requests",
        "malformed requests of strangers are logged seldom, and without their bytes",
        "net/http_server.py",
        "        logger=_Malformed(),\n",
        "",
        (LISTENING + "test_malformed_requests_are_logged_at_most_once_without_their_bytes",),
    ),
    Mutant(
        "own_errors_in_full",
        "an error of our own in the web server is logged with its traceback",
        "net/http_server.py",
        "        if not isinstance(exc_info, HttpProcessingError | web.RequestPayloadError):\n",
        "        if False:\n",
        (LISTENING + "test_handler_exception_is_logged_with_its_traceback",),
    ),
    Mutant(
        "webhook_refused_by_a_page",
        "a proxy that refuses the webhook is said in one clear line",
        "cli/commands/run_bot.py",
        "    except (TelegramAPIError, ClientDecodeError, SendError) as error:\n",
        "    except (TelegramAPIError, SendError) as error:\n",
        ("tests/cli/commands/test_bot_process.py::test_webhook_blocked_by_a_proxy_exits_with_2_and_names_the_setting",),
    ),
    # -- the terminal: which ledger a command means, and what the settings say
    Mutant(
        "env_file_of_the_checkout",
        "every folder of a checkout has the same settings, and so the same ledger",
        "pipeline/settings/nearest.py",
        "if _is_top(folder)), [here])",
        "if False), [here])",
        (ENV_FILE + "test_env_file_of_a_checkout_applies_in_all_its_folders",),
    ),
    Mutant(
        "env_file_of_others",
        "another project's settings are not read",
        "pipeline/settings/nearest.py",
        "above[: place + 1]",
        "above",
        (ENV_FILE + "test_an_env_file_of_another_project_above_is_not_read",),
    ),
    Mutant(
        "env_file_lines",
        "a line of .env that cannot be read is not dropped in silence",
        "pipeline/settings/env_file.py",
        "        if line.error or swallowed or nothing:\n",
        "        if False:\n",
        (ENV_FILE + "test_unreadable_env_file_line_is_reported_by_its_number",),
    ),
    Mutant(
        "env_file_folders",
        "a relative data folder of .env is the same one wherever the command runs",
        "pipeline/settings/env_file.py",
        "    return written | beside\n",
        "    return written\n",
        (ENV_FILE + "test_env_file_of_a_checkout_applies_in_all_its_folders",),
    ),
    Mutant(
        "switch_names_its_ledger",
        "a switch says which ledger it acted on",
        "app/ledger_session.py",
        '        typer.echo(f"In {session.name}.")\n',
        "",
        (SWITCHES + "test_every_switch_names_the_ledger_it_acted_on",),
    ),
    Mutant(
        "telegram_names",
        "a Telegram name, which is nobody's id here, is not blocked in place of its owner",
        "cli/request_parsing.py",
        '    if user.removeprefix("tg:").startswith("@"):\n',
        "    if False:\n",
        (SWITCHES + "test_telegram_username_is_refused_and_the_number_requested",),
    ),
    Mutant(
        "unknown_users",
        "whoever blocks a name that never ordered is told",
        "cli/commands/control.py",
        "    if not await session.operators.runs(1, None, user):\n",
        "    if False:\n",
        (SWITCHES + "test_switch_for_a_user_without_orders_warns_and_is_recorded",),
    ),
    Mutant(
        "no_ledger_there",
        "a data folder that cannot be made is not shown as an empty ledger",
        "app/ledger_session.py",
        "        if why := why_unusable(home):\n",
        "        if why := None:\n",
        (SWITCHES + "test_unusable_data_folder_is_an_error_not_an_empty_ledger",),
    ),
)
