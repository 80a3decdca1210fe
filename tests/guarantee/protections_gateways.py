"""Protections against what two more attacks showed: lists and answers of honest gateways, and files that look whole."""

from tests.guarantee.mutant import Mutant

STEPS, PIPELINE = "tests/steps/", "tests/pipeline/"
LOOKS = PIPELINE + "test_misread_looks.py::"
JOBS = STEPS + "test_video_jobs.py::"
REFUSALS = STEPS + "test_refusal_words.py::"
PAGES = STEPS + "test_list_jobs.py::"
PAGE = STEPS + "test_list_page.py::"
CLIPS = STEPS + "test_clip_file.py::"
EACH_LOOK = (PIPELINE + "test_evidence.py::test_each_look_says_one_thing",)
DIFFERENCES = (PIPELINE + "test_audit.py::test_what_differs_has_a_name",)

GATEWAY_MUTANTS = (
    # -- whose job it is
    Mutant(
        "prompt_rules_out",
        "another prompt rules no job out: gateways cut, translate and censor some of them",
        "steps/shown.py",
        "    return not (differs(job, order) - {Shown.PROMPT}) & faithful",
        "    return not differs(job, order) & faithful",
        EACH_LOOK,
    ),
    Mutant(
        "twin_not_listed",
        "nothing is adopted while an equal order's own job is not listed: it may be listed by another id",
        "pipeline/evidence.py",
        "    return not twins <= listed or ",
        "    return ",
        EACH_LOOK,
    ),
    Mutant(
        "behind_an_older_one",
        "nothing is adopted that stands behind a job from before the order",
        "pipeline/evidence.py",
        " or any(job.key in older for job in jobs)",
        "",
        EACH_LOOK,
    ),
    Mutant(
        "twice_in_a_page",
        "one id twice in a page may be two jobs",
        "steps/list_jobs.py",
        "elif job.job_id in news or not known",
        "elif not known",
        (PAGES + "test_one_id_twice_in_a_page_is_an_odd_row",),
    ),
    # -- what a list says of rows that it does not show
    Mutant(
        "pages_overlap",
        "a page begins where the one before it ended",
        "steps/list_jobs.py",
        "        if news and self._overlap and page.jobs[0].key != self._overlap:",
        "        if False:",
        (PAGES + "test_a_look_is_complete_only_if_every_page_was_read",),
    ),
    Mutant(
        "headers_of_a_page",
        "headers that tell of missing rows make a page doubtful",
        "steps/list_page.py",
        " or _flaw_in(headers, more=has_more is True)",
        "",
        (PAGE + "test_headers_that_tell_of_missing_rows_make_a_page_doubtful",),
    ),
    Mutant(
        "list_from_a_cache",
        "an older copy of a list proves nothing",
        "steps/list_page.py",
        "    if is_cached(headers):",
        "    if False:",
        (PAGE + "test_headers_that_tell_of_missing_rows_make_a_page_doubtful",),
    ),
    Mutant(
        "count_in_headers",
        "a count in the headers is the list's",
        "steps/list_page.py",
        "(*map(page.get, PAGE_TOTALS), *_totals_in(headers))",
        "map(page.get, PAGE_TOTALS)",
        (PAGE + "test_a_count_in_the_headers_is_the_lists",),
    ),
    Mutant(
        "double_members",
        "an object with two members of one name is unreadable",
        "steps/provider_words.py",
        ", object_pairs_hook=_without_doubles",
        "",
        (PAGE + "test_two_members_of_one_name_make_a_page_unreadable_unless_they_are_equal",),
    ),
    # -- the audit
    Mutant(
        "in_front_of_ours",
        "a job listed before one of ours is not left out for its time",
        "pipeline/comparison.py",
        " and job.key not in _in_front_of_ours(both):",
        ":",
        DIFFERENCES,
    ),
    Mutant(
        "order_not_shown",
        "a list without times must show which end is the new one",
        "pipeline/comparison.py",
        '        return "" if self.is_dated() or self._shows_its_order() else "order_not_shown"',
        '        return ""',
        (PIPELINE + "test_audit.py::test_an_audit_is_complete_only_if_its_list_shows_everything_in_order",),
    ),
    # -- refusals
    Mutant(
        "after_the_job",
        "a refusal about a job or an answer came after the request",
        "steps/refusal_words.py",
        '    return "refusal_after_the_job" if _came_after_the_job(answer, said) else None',
        "    return None",
        (REFUSALS + "test_a_refusal_about_a_job_or_an_answer_came_after_the_request",),
    ),
    Mutant(
        "job_at_any_depth",
        "a job that a refusal names at any depth may be ours",
        "steps/videos_protocol.py",
        "    if names_job_within(answer.body):",
        "    if False:",
        (REFUSALS + "test_a_job_that_a_refusal_names_at_any_depth_may_be_ours",),
    ),
    # -- the job's page
    Mutant(
        "rows_of_others",
        "of a list that came instead of a job only its own row counts",
        "steps/video_jobs.py",
        "    return next(ours, {} if jobs else answer)",
        "    return answer",
        (JOBS + "test_of_a_list_that_came_instead_of_a_job_only_its_own_row_counts",),
    ),
    Mutant(
        "envelopes_status",
        "an answer's own status is not its job's",
        "steps/video_jobs.py",
        "    if not shown_ids(row) or (_status",
        "    if (_status",
        (JOBS + "test_an_answers_own_status_is_not_its_jobs",),
    ),
    Mutant(
        "deleted_since",
        "a clip that was made and deleted since is owed",
        "steps/video_jobs.py",
        "        return self.status is JobStatus.EXPIRED and not self.was_done and said_so",
        "        return self.status is JobStatus.EXPIRED and said_so",
        (JOBS + "test_a_clip_that_was_made_and_deleted_since_is_owed",),
    ),
    Mutant(
        "cached_failure",
        "a failure that a cache shows is no look at the provider",
        "steps/provider.py",
        "        if isinstance(shown, Job) and shown.status in ENDED_BADLY and is_cached(response.headers):",
        "        if False:",
        (LOOKS + "test_a_failure_that_only_a_cache_repeats_ends_nothing",),
    ),
    Mutant(
        "cached_absence",
        "an absence that a cache tells of is not the server's word",
        "steps/download.py",
        "        if is_cached(response.headers):",
        "        if False:",
        (STEPS + "test_download.py::test_an_absence_that_a_cache_tells_of_is_not_the_servers_word",),
    ),
    Mutant(
        "another_try",
        "a failure that promises another try is no end",
        "pipeline/render.py",
        "    if will_be_repeated(words):",
        "    if False:",
        (LOOKS + "test_a_failure_that_promises_another_try_ends_nothing",),
    ),
    Mutant(
        "failure_to_look",
        "a gateway's own error in a job's form ends a run only after a render's time",
        "pipeline/render.py",
        "job.exists and not is_about_reading(words)",
        "job.exists",
        (LOOKS + "test_a_gateways_own_error_in_a_jobs_form_ends_a_run_only_after_a_renders_time",),
    ),
    Mutant(
        "shown_by_the_answer",
        "what the answer to an order showed otherwise is no sign of another's job",
        "pipeline/whose_clip.py",
        " - set(map(Shown, run.shown_otherwise))",
        "",
        (LOOKS + "test_what_the_answer_to_the_order_showed_otherwise_is_no_sign_of_anothers_job",),
    ),
    # -- one bad item never stops the others
    Mutant(
        "one_update",
        "an update that cannot be read keeps no other waiting",
        "bot/incoming.py",
        "        except ValidationError as error:",
        "        except RecursionError as error:",
        ("tests/bot/test_polling.py::test_one_update_that_cannot_be_read_keeps_no_other_waiting",),
    ),
    Mutant(
        "client_side_data",
        "data that psycopg itself cannot send are a refusal",
        "pipeline/road_psycopg.py",
        "    if not code and isinstance(error, psycopg.DataError | psycopg.ProgrammingError):",
        "    if False:",
        ("tests/pipeline/test_road_psycopg.py::test_data_that_psycopg_itself_cannot_send_are_a_refusal",),
    ),
    Mutant(
        "refused_by_its_content",
        "a job that failed for its content does not count towards everybody's breaker",
        "pipeline/render.py",
        '                breaker=None if made or refused else "render",\n',
        '                breaker=None if made else "render",\n',
        (
            "tests/pipeline/test_run.py::test_a_job_that_failed_for_its_content_is_a_refused_prompt_and_no_fault_of_the_provider",
        ),
    ),
    # -- the file
    Mutant(
        "no_end",
        "a shorter file in which no cut would show waits for a person",
        "pipeline/whose_clip.py",
        "    if shorter and not facts.ends:",
        "    if False:",
        (PIPELINE + "test_what_is_taken.py",),
    ),
    Mutant(
        "two_against_the_page",
        "a file of another length and shape than its job shows waits for a person",
        "pipeline/whose_clip.py",
        " if other and as_job_says else None",
        " if False else None",
        (PIPELINE + "test_what_is_taken.py",),
    ),
    Mutant(
        "fitting_address",
        "of several addresses the one with the ordered clip is taken",
        "steps/generate_video.py",
        "        if isinstance(found, Content) and fits(found.facts):",
        "        if isinstance(found, Content):",
        (PIPELINE + "test_clip_facts.py::test_of_several_addresses_the_one_with_the_ordered_clip_is_taken",),
    ),
    Mutant(
        "last_picture",
        "a WebM that ends before the length of its header is cut",
        "steps/webm_file.py",
        "    if seconds is not None and seconds - shown > SECONDS_APART_MAX:",
        "    if False:",
        (CLIPS + "test_what_is_no_whole_clip_says_why",),
    ),
    Mutant(
        "hole_in_a_block",
        "a WebM with zeros where a picture should be is not all there",
        "steps/webm_file.py",
        "    if len(head) == BLOCK_HEAD_BYTES and not any(head):",
        "    if False:",
        (CLIPS + "test_what_is_no_whole_clip_says_why",),
    ),
    Mutant(
        "hole_in_a_fragment",
        "a fragment with zeros among its pictures is not all there",
        "steps/iso_pictures.py",
        "                if not any(file.read(HOLE_BYTES)):",
        "                if False:",
        (STEPS + "test_iso_fragments.py::test_a_hole_in_the_pictures_of_a_fragment_is_found",),
    ),
    Mutant(
        "every_sample",
        "zeros in the middle of a chunk are found as well",
        "steps/iso_tables.py",
        "        for sample in range(before, before + min(samples, SAMPLES_MAX)):",
        "        for sample in range(before, before + min(samples, 1)):",
        (PIPELINE + "test_clip_facts.py::test_half_a_clip_whose_boxes_add_up_is_fetched_again",),
    ),
)
