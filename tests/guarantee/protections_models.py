"""What text models and endpoints say in their own ways: each protection that reads them, or that watches how."""

from tests.guarantee.mutant import Mutant

WRAPPED = "tests/steps/test_wrapped_json.py::"
ASK = "tests/steps/test_ask_model.py::"
REFUSALS = "tests/steps/test_refusal_words.py::"
AUDITING = "tests/cli/test_auditing.py::"
CERTIFICATES = "tests/steps/test_certificates.py::"
RUN = "tests/pipeline/test_refused_content.py::"

MODELS_MUTANTS = (
    Mutant(
        "quoted_verdict",
        "a verdict that a user wrote, and the model quotes, is not the model's",
        "steps/wrapped_json.py",
        " if not is_quoted(each, schema, asked)]",
        "]",
        (WRAPPED + "test_an_object_that_may_not_be_the_answer_is_not_taken",),
    ),
    Mutant(
        "one_answer",
        "of two answers that differ none is taken",
        "steps/wrapped_json.py",
        "    if not found or any(each != found[0] for each in found) or",
        "    if not found or",
        (WRAPPED + "test_an_object_that_may_not_be_the_answer_is_not_taken",),
    ),
    Mutant(
        "form_refused",
        "only a refusal of the answer's form is asked again with less",
        "steps/ask_model.py",
        "        and cause.status_code in FORM_REFUSED\n",
        "",
        (ASK + "test_only_a_refusal_of_the_form_is_asked_again_with_less",),
    ),
    Mutant(
        "form_remembered",
        "a form that the endpoint refused once is not asked for again",
        "steps/ask_model.py",
        "                self._form = max(self._form, form + 1)\n",
        "",
        (ASK + "test_an_endpoint_without_json_schema_is_asked_with_less_and_not_again_with_more",),
    ),
    Mutant(
        "content_in_plain_words",
        "a status that is no clear no needs plain words to be a refusal of content",
        "steps/videos_protocol.py",
        " and blocks_content(said):",
        ":",
        (REFUSALS + "test_another_status_needs_plain_words_to_be_a_refusal_of_content",),
    ),
    Mutant(
        "content_of_another",
        "a refusal that is about an earlier request is none of this one",
        "steps/content_words.py",
        " and not NOT_OF_THIS.search(said)",
        "",
        (REFUSALS + "test_another_status_needs_plain_words_to_be_a_refusal_of_content",),
    ),
    Mutant(
        "key_before_content",
        "a refused key is one, whatever policies its refusal names",
        "steps/videos_protocol.py",
        "    if refuses_key(said):",
        "    if False:",
        (REFUSALS + "test_a_refused_key_is_one_in_whatever_words",),
    ),
    Mutant(
        "kept_back",
        "a completed job whose clip is kept back for its content is released",
        "steps/generate_video.py",
        "    if job.kept_back:",
        "    if False:",
        (RUN + "test_a_job_refused_for_its_content_in_other_words_is_released_and_nobodys_fault",),
    ),
    Mutant(
        "withheld_is_not_made",
        "a clip that is withheld for its content does not count as made",
        "pipeline/render.py",
        "done = not refused if job.status",
        "done = True if job.status",
        (RUN + "test_a_clip_that_is_withheld_for_its_content_is_not_paid_for",),
    ),
    Mutant(
        "v1_missing",
        "a base URL without /v1 is not called ready",
        "cli/probe.py",
        "    if below is not None and below.status in {200, 401, 403} and not _is_page(below):",
        "    if False:",
        (AUDITING + "test_an_api_that_begins_at_v1_is_found_there",),
    ),
    Mutant(
        "text_model_asked",
        "the check of a provider asks the text model",
        "cli/doctor.py",
        "        findings += probe_text(settings)\n",
        "",
        (AUDITING + "test_the_text_model_is_asked_once_after_saying_so_and_what_is_wrong_with_it_is_found",),
    ),
    Mutant(
        "prompts_unlogged",
        "OPENAI_LOG=debug logs no prompt",
        "steps/ask_model.py",
        "    keep_quiet()\n",
        "",
        (ASK + "test_no_variable_makes_the_libraries_log_prompts",),
    ),
    Mutant(
        "no_key_log",
        "session keys are not written to SSLKEYLOGFILE",
        "steps/certificates.py",
        "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n",
        "    context = ssl.create_default_context()\n",
        (CERTIFICATES + "test_session_keys_are_written_nowhere",),
    ),
    Mutant(
        "one_proxy",
        "Telegram is called by the proxy of all other clients",
        "bot/session.py",
        "                proxy=self._our_proxy,\n",
        "                proxy=None,\n",
        ("tests/cli/test_clients.py::test_every_client_goes_by_the_proxy_of_the_environment",),
    ),
    Mutant(
        "yes_taken_back",
        "a yes that may be taken back is asked for again",
        "steps/wrapped_json.py",
        " or _is_doubted(found[0], texts, schema):",
        ":",
        (WRAPPED + "test_a_yes_that_may_be_taken_back_is_asked_for_again",),
    ),
    Mutant(
        "laxer_search",
        "instructor finds no object of its own in what was not taken",
        "steps/ask_model.py",
        "    elif isinstance(message.content, str) and holds_answer(message.content, output):",
        "    elif False:",
        (WRAPPED + "test_no_laxer_search_finds_one_where_no_form_is_taken",),
    ),
    Mutant(
        "headers_forgotten",
        "no header of the environment goes to whoever is called",
        "steps/certificates.py",
        "        os.environ.pop(name, None)",
        "        pass",
        ("tests/steps/test_certificates.py::test_no_header_of_the_environment_goes_to_whoever_is_called",),
    ),
)
