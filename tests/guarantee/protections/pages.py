"""Protections of texts in the terminal, in chats and on the operators' page: advice that works, money named."""

from tests.guarantee.protections.mutant import Mutant

SENTENCES = "tests/cli/output/test_sentences.py::"
CREATION = "tests/cli/test_creation.py::"
CHAT_PAGES = "tests/bot/test_pages.py::"
DELIVERING = "tests/web/test_delivering.py::"

PAGES_MUTANTS = (
    Mutant(
        "start_promises",
        "/start promises a question only to whoever is asked",
        "bot/info_pages.py",
        "        if customer.asks_first\n",
        "        if customer\n",
        (CHAT_PAGES + "test_start_promises_a_question_only_to_whoever_is_asked",),
    ),
    Mutant(
        "any_capitals",
        "/Create is /create",
        "bot/requests/create.py",
        '    router.message.register(create, Command("create", ignore_case=True))\n',
        '    router.message.register(create, Command("create"))\n',
        (CHAT_PAGES + "test_a_command_is_known_however_a_keyboard_capitalizes_it",),
    ),
    Mutant(
        "status_of_a_draft",
        "/status says the same as the card of what waits for Create",
        "bot/info_pages.py",
        "    if run.state is State.RESERVED or messages.waits_for_create(run):\n",
        "    if run.state is State.RESERVED:\n",
        (CHAT_PAGES + "test_status_shows_the_run_and_cancel_takes_it_back",),
    ),
    Mutant(
        "demo_aloud",
        "a failure that is said aloud in a demo says that nothing is really charged",
        "bot/delivery/delivery.py",
        "            text = messages.with_demo(text, words, demo=self._for_sale.demo)\n",
        "",
        (CHAT_PAGES + "test_a_failure_that_is_said_aloud_in_a_demo_says_that_it_is_one",),
    ),
    Mutant(
        "no_such_run",
        "an operator who asks for a run that is not there is told so",
        "bot/admin/verbs.py",
        '        return admin_context.words("There is no run {ref}.", ref=arguments[0])\n',
        "        return usage(admin_context.words)\n",
        ("tests/bot/admin/test_admin.py::test_limits_rollout_and_users_are_changed_by_word",),
    ),
    Mutant(
        "anothers_settings",
        "in a group nobody changes settings below the page of another",
        "bot/settings.py",
        "    if is_anothers(tap, callback_data):\n",
        "    if False:\n",
        (CHAT_PAGES + "test_in_a_group_nobody_changes_settings_below_anothers_page",),
    ),
    Mutant(
        "anothers_videos",
        "in a group nobody puts their own videos in place of another's page",
        "bot/info_pages.py",
        "    if is_anothers(tap, callback_data):\n",
        "    if False:\n",
        (CHAT_PAGES + "test_in_a_group_nobody_turns_anothers_pages",),
    ),
    Mutant(
        "beyond_the_last_page",
        "a page of videos that is not there any more is the last one",
        "bot/info_pages.py",
        "    if not videos.runs:\n",
        "    if False:\n",
        (CHAT_PAGES + "test_history_has_pages",),
    ),
    Mutant(
        "asked_already",
        "a button that has asked for a video already tells what becomes of it",
        "bot/requests/answers.py",
        "asked_already(answer.run, words) if answer.replayed",
        'words.plain("Saved.") if answer.replayed',
        ("tests/bot/requests/test_asked_first.py::test_a_button_tapped_twice_tells_what_its_video_waits_for",),
    ),
    Mutant(
        "feed_at_another_port",
        "the live feed works at the port that a demo chooses when its own is taken",
        "web/app.py",
        "    app.on_startup.append(_begin_feeds)\n",
        "",
        ("tests/web/test_pages.py::test_a_demo_that_finds_its_port_taken_has_a_live_feed",),
    ),
    Mutant(
        "left_money",
        "whoever leaves a run with Ctrl-C is told what is set aside and how it gets free",
        "cli/output/sentences.py",
        '    money = f"{_set_aside(seen)} " if seen else ""',
        '    money = ""',
        (SENTENCES + "test_leaving_a_run_says_what_is_set_aside_and_how_it_gets_free",),
    ),
    Mutant(
        "answer_at_hand",
        "whoever loses the ledger after the order has left is told that it has",
        "cli/creation.py",
        "        if seen and seen.state in {State.RESERVED, State.APPROVED} and self._has_answer(seen):",
        "        if False:",
        (CREATION + "test_a_ledger_that_is_lost_with_an_answer_at_hand_does_not_hide_that_the_order_has_left",),
    ),
    Mutant(
        "busy_with_ordered",
        "nobody is told to cancel a run that was ordered already",
        "cli/output/refusals.py",
        "    if run.submitting_at is None:\n        return _busy(",
        "    if run.ref:\n        return _busy(",
        (SENTENCES + "test_whoever_is_busy_with_an_ordered_run_is_not_told_to_cancel_it",),
    ),
    Mutant(
        "delivery_outcome",
        "whoever asks for a delivery is told what came of it, not only that it was asked for",
        "web/changes.py",
        "            fresh = await _until_told(row, admin_context)\n",
        "            fresh = row\n",
        (DELIVERING + "test_whoever_asks_for_a_delivery_is_told_what_came_of_it",),
    ),
    Mutant(
        "delivery_reason",
        "the page of a run says why its video could not be delivered",
        "pipeline/operator_text.py",
        '        why = str(last.detail.get("why", "")) if last else ""\n',
        '        why = ""\n',
        (DELIVERING + "test_a_video_that_could_not_be_delivered_says_why_before_anybody_asks",),
    ),
    Mutant(
        "audit_words_wrap",
        "what an audit found is read in whole words, whatever the terminal's width",
        "cli/output/audit_page.py",
        "else Padding(words, (0, 0, 0, 2), expand=False), soft_wrap=piped)",
        'else f"  {words}", soft_wrap=True)',
        ("tests/cli/commands/test_auditing.py::test_what_an_audit_found_fits_the_terminal_with_whole_words",),
    ),
)
