"""The chat: whatever is sent, tapped or answered there, nobody waits for ever, and nothing is bought by mistake."""

from tests.guarantee.mutant import Mutant

POLLING = "tests/bot/test_polling.py::"
TAPS = "tests/bot/test_run_taps.py::"
REQUESTS = "tests/bot/test_requests.py::"
STALE = "tests/bot/test_stale_buttons.py::"
OVER_HTTP = "tests/bot/test_over_http.py::"

CHAT_MUTANTS = (
    # -- one bad item never stops the others
    Mutant(
        "no_object",
        "an update that is no object is skipped, and what has a number is confirmed",
        "bot/polling.py",
        "            offset = max(numbers) + 1\n",
        '            offset = int(batch[-1]["update_id"]) + 1\n',
        (POLLING + "test_one_update_that_cannot_be_read_keeps_no_other_waiting",),
    ),
    Mutant(
        "failing_update",
        "an update that the database keeps failing on is skipped while the database answers",
        "bot/incoming.py",
        "        if tries < FAILED_TRIES_MAX:\n",
        "        if True:\n",
        (OVER_HTTP + "test_an_update_that_the_database_keeps_failing_on_is_skipped_counted_and_told",),
    ),
    Mutant(
        "refs_at_the_door",
        "a tap reaches the ledger only with a ref that a run could have",
        "bot/taps.py",
        'Ref = Annotated[str, Field(pattern=r"^[A-Z2-7]{6}$")]',
        "Ref = str",
        (TAPS + "test_a_tap_that_no_button_of_ours_carries_is_answered_and_reaches_no_handler",),
    ),
    Mutant(
        "unknown_taps",
        "a tap that nobody knows is answered",
        "bot/front.py",
        "    dispatcher.include_router(_last_router())\n",
        "",
        (TAPS + "test_a_tap_that_no_button_of_ours_carries_is_answered_and_reaches_no_handler",),
    ),
    Mutant(
        "taps_of_a_burst",
        "a tap that is one too many is answered, too",
        "bot/throttle.py",
        "        if isinstance(said, CallbackQuery) or (",
        "        if (",
        ("tests/bot/test_throttle.py::test_every_tap_of_a_burst_is_answered",),
    ),
    Mutant(
        "one_alert",
        "an alert that cannot be told does not stop the others",
        "bot/alarms.py",
        "            except Exception:  # an alert",
        "            except ZeroDivisionError:  # an alert",
        ("tests/bot/test_admin.py::test_one_alert_that_cannot_be_told_does_not_stop_the_others",),
    ),
    Mutant(
        "one_card",
        "a card that cannot be drawn does not stop the others",
        "bot/board.py",
        ", return_exceptions=True)\n        for row",
        ")\n        for row",
        ("tests/bot/test_deliver.py::test_a_card_that_cannot_be_drawn_stops_no_other",),
    ),
    Mutant(
        "one_answer_file",
        "an answer file that does not fit does not stop the others",
        "pipeline/fence.py",
        "        except Exception:  # an answer",
        "        except ZeroDivisionError:  # an answer",
        ("tests/pipeline/test_engine.py::test_a_kept_answer_that_does_not_fit_keeps_no_other_waiting",),
    ),
    # -- a card never lies about money
    Mutant(
        "ordered_said",
        "the edit that says `ordered` is never shed",
        "bot/board.py",
        "        if self._was_just_ordered(run):\n",
        "        if False:\n",
        ("tests/bot/test_deliver.py::test_a_card_never_says_that_nothing_is_charged_while_its_video_is_made",),
    ),
    Mutant(
        "first_silent_order",
        "no order goes out unasked before its user was told that orders will",
        "pipeline/customers.py",
        '        return confirm in (None, "always") or (confirm == "first" and self.videos < FIRST_VIDEOS)\n',
        '        return confirm == "always" or (confirm in (None, "first") and self.videos < FIRST_VIDEOS)\n',
        ("tests/bot/test_pages.py::test_the_first_order_that_will_not_ask_is_announced_with_one_tap_to_go_on_asking",),
    ),
    Mutant(
        "same_words",
        "what was refused for its content is not ordered again in the same words",
        "bot/run_taps.py",
        "    if t.run.reason in sentences.IN_OTHER_WORDS_ONLY:  # also",
        "    if False:  # also",
        (STALE + "test_what_was_refused_for_its_content_is_never_ordered_again_in_the_same_words",),
    ),
    # -- what Telegram says
    Mutant(
        "ok_without_message",
        "a message that Telegram took is not sent again because its answer shows none",
        "bot/session.py",
        "    if method.__returning__ is Message:\n",
        "    if False:\n",
        (
            OVER_HTTP + "test_a_card_that_telegram_took_is_not_sent_again",
            OVER_HTTP + "test_a_video_that_telegram_took_is_not_sent_again",
        ),
    ),
    Mutant(
        "refused_by_a_page",
        "a proxy's refusal is asked again for half an hour, and not for ever",
        "bot/session.py",
        "            if HTTPStatus.BAD_REQUEST <= status_code",
        "            if False and HTTPStatus.BAD_REQUEST <= status_code",
        (OVER_HTTP + "test_a_refusal_is_read_wherever_it_stands",),
    ),
    Mutant(
        "unanswered_for_ever",
        "a video of which every answer is lost is not sent for ever",
        "bot/deliver.py",
        "            if run.age(run.state_since) > UNANSWERED_AT_MOST:\n",
        "            if False:\n",
        ("tests/bot/test_deliver.py::test_a_video_whose_answers_are_lost_is_sent_ever_more_seldom",),
    ),
    Mutant(
        "undelivered_told",
        "operators hear of a video that could not be brought",
        "bot/deliver.py",
        "        if run.state is State.SAVED and not isinstance(error, Unreachable):",
        "        if False:",
        (OVER_HTTP + "test_a_proxy_that_refuses_every_video_is_not_asked_for_ever_and_all_are_told",),
    ),
    # -- nothing is dropped in silence
    Mutant(
        "about_a_picture",
        "words about another picture are asked about before anything is ordered",
        "bot/contents.py",
        "    return message.text is None or any(",
        "    return message.text is None or False and any(",
        (REQUESTS + "test_create_about_another_picture_gets_a_sentence_and_a_question_and_orders_nothing",),
    ),
    Mutant(
        "answered_whatever",
        "whatever a user sends is answered",
        "bot/requests.py",
        "    elif message.content_type not in SERVICE:",
        '    elif message.content_type == "photo":',
        (REQUESTS + "test_whatever_a_user_sends_is_answered",),
    ),
    # -- Edit and Change
    Mutant(
        "draft_stays",
        "a draft stays until its new text is accepted",
        "bot/ordering.py",
        "        if isinstance(answer, PromptProblem) or (isinstance(answer, Refused) and",
        "        if False and (isinstance(answer, Refused) and",
        (TAPS + "test_a_new_text_that_is_refused_leaves_the_draft_as_it_was",),
    ),
    Mutant(
        "reply_box",
        "the question for another text answers the user's own message, else no reply box opens",
        "bot/run_taps.py",
        "text, question, answers=own)",
        "text, question, answers=message.message_id)",
        (TAPS + "test_edit_opens_the_reply_box_and_the_draft_stays_until_its_new_text_is_there",),
    ),
    Mutant(
        "next_message",
        "in private the next message answers the question",
        "bot/questions.py",
        "            return question.ref\n",
        "            return None\n",
        (TAPS + "test_in_private_the_next_message_is_the_new_text_and_only_the_next",),
    ),
    Mutant(
        "only_next_message",
        "a message after the next one answers no question",
        "bot/questions.py",
        "        if question.answered_by == message.message_id:\n",
        "        if True:\n",
        (
            TAPS + "test_in_private_the_next_message_is_the_new_text_and_only_the_next",
            TAPS + "test_words_after_another_message_are_no_answer",
        ),
    ),
    Mutant(
        "lost_is_not_said",
        "a video whose answer was lost on the way is sent again",
        "bot/deliver.py",
        "            pause = max(AGAIN, min(run.age(run.state_since), AGAIN_LATER))  # each try may have arrived",
        "            await self._telling.told(run)\n            return",
        ("tests/bot/test_deliver.py::test_an_answer_that_was_lost_is_asked_for_again",),
    ),
)
