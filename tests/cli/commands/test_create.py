"""`onetake create`: the contract that scripts rely on. Exit codes, the object, and what was paid."""

from pathlib import Path

import pytest

from cli.output.outcome import Outcome
from tests.cli.conftest import Terminal

KEYS = (
    *("ref", "run_id", "state", "refused", "duplicate_of", "file", "title", "caption", "hashtags"),
    *("seconds", "size", "cost_usd", "provider_job_id", "error"),
)


def test_a_prompt_becomes_a_saved_video_with_a_caption(onetake: Terminal) -> None:
    said = onetake("create", "a lighthouse in a storm")

    assert said.code == 0
    assert "#" in said.out
    assert "$0.80 (8 s at $0.10/s)" in said.out
    [file] = (onetake.home / "media").iterdir()
    assert str(file) in said.out
    assert file.read_bytes()[4:8] == b"ftyp"
    assert onetake.paid_calls() == 1


def test_json_output_is_one_line_with_exactly_the_documented_keys(onetake: Terminal) -> None:
    said = onetake.create()

    assert said.code == 0
    assert tuple(said.object) == KEYS == tuple(Outcome().as_object())
    assert len(said.out.splitlines()) == 1, "people's words go to stderr when a script reads stdout"
    assert said.object["state"] == "saved"
    assert said.object["cost_usd"] == 0.8
    assert said.object["error"] is None
    assert Path(said.object["file"]).is_absolute()
    assert 3 <= len(said.object["hashtags"]) <= 8
    assert onetake("list", "--json").object["state"] == "delivered"


def test_the_same_key_again_is_the_same_run_and_buys_nothing(onetake: Terminal) -> None:
    first = onetake.create("a red kite", "--key", "monday")
    again = onetake.create("a red kite", "--key", "monday")

    assert (first.code, again.code) == (0, 0)
    assert again.object == first.object | {"state": "delivered"}, "the first was told, and so handed over"
    assert onetake.paid_calls() == 1
    assert "duplicates blocked:   1" in onetake("stats").out


def test_the_same_key_for_another_prompt_is_refused(onetake: Terminal) -> None:
    first = onetake.create("a red kite", "--key", "monday")
    other = onetake.create("a blue kite", "--key", "monday")

    assert other.code == 3
    assert other.object["refused"] == "idempotency_mismatch"
    assert first.object["ref"] in other.object["error"]
    assert onetake.paid_calls() == 1


def test_same_prompt_is_refused_as_a_duplicate_unless_again_is_given(
    onetake: Terminal,
) -> None:
    onetake("limits", "set", "cooldown_seconds", "0")
    first = onetake.create()
    same = onetake.create()
    take = onetake.create("a paper boat in the rain", "--again")

    assert (first.code, same.code, take.code) == (0, 3, 0)
    assert same.object["refused"] == "duplicate"
    assert same.object["duplicate_of"] == first.object["ref"]
    assert (same.object["state"], same.object["ref"]) == (None, None)
    assert onetake.paid_calls() == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["   "], "prompt is empty"),
        (["a" * 4001], "more than 4000 characters"),
        (["a\x07b"], "control characters"),
        (["boat", "--seconds", "7"], "4, 8, 12 seconds, not 7"),
        (["boat", "--size", "1x1"], "720x1280, 1280x720, 1024x1792, 1792x1024, not 1x1"),
        (["boat", "--lang", "fr"], "es or en, not fr"),
        (["boat", "--key", " "], "--key"),
    ],
)
def test_usage_error_exits_with_2_before_anything_is_reserved(
    onetake: Terminal, arguments: list[str], words: str
) -> None:
    said = onetake("create", *arguments)

    assert said.code == 2
    assert words in said.words
    assert len(said.err.splitlines()) == 1
    assert "no runs in" in onetake("list").out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"VIDEO_MODEL": ""}, "`make demo` needs no account"),
        ({"VIDEO_MODEL": "sora-9"}, "VIDEO_USD_PER_SECOND"),
        (
            {"VIDEO_MODEL": "sora-2", "VIDEO_BASE_URL": "https://api.openai.com/v1"},
            "switched off on 2026-09-24",
        ),
        ({"OPENAI_API_KEY": ""}, "VIDEO_API_KEY: missing"),
        ({"OPENAI_API_KEY": "", "VIDEO_API_KEY": "k"}, "OPENAI_API_KEY: missing"),
        ({"POLL_SECONDS": "soon"}, "POLL_SECONDS"),
        ({"DATABASE_URL": "postgresql://nobody:hush@127.0.0.1:1/nothing"}, "127.0.0.1:1"),
        ({"DATABASE_URL": "what?"}, "DATABASE_URL"),
        (
            {
                "HTTPS_PROXY": "socks5://u:hush@127.0.0.1:9",
                "VIDEO_BASE_URL": "https://example.invalid/v1",
                "VIDEO_API_KEY": "k",
                "VIDEO_USD_PER_SECOND": "0.1",
            },
            "HTTPS_PROXY: only a proxy that begins with http:// or https://",
        ),
    ],
)
def test_invalid_setting_is_a_one_line_error_with_exit_code_2(
    onetake: Terminal, settings: dict[str, str], words: str
) -> None:
    said = onetake("create", "boat", **settings)

    assert said.code == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert "hush" not in said.words
    assert onetake.paid_calls() == 0


def test_missing_video_model_error_lists_the_available_models(onetake: Terminal) -> None:
    said = onetake("create", "boat", VIDEO_MODEL="")

    assert "minimax/h3" in said.err
    assert "sora-2" not in said.err


def test_json_output_is_an_object_even_for_an_invalid_setting(onetake: Terminal) -> None:
    said = onetake.create("boat", VIDEO_MODEL="")

    assert said.code == 2
    assert tuple(said.object) == KEYS
    assert "VIDEO_MODEL" in said.object["error"]


def test_rejected_prompt_exits_with_1_and_a_safe_rewrite(onetake: Terminal) -> None:
    said = onetake.create("a duel with blood everywhere")

    assert said.code == 1
    assert said.object["state"] == "rejected"
    assert "Nothing was charged" in said.object["error"]
    assert "This would pass" in said.object["error"]
    assert onetake.paid_calls() == 0


def test_template_syntax_in_a_prompt_is_kept_verbatim(onetake: Terminal) -> None:
    said = onetake.create("a sign that says {{ 7*7 }} and {% raw %}")

    assert said.code == 0
    assert "{{ 7*7 }}" in onetake("show", said.object["ref"]).out


def test_an_unreachable_text_model_fails_the_run_and_gives_the_money_back(onetake: Terminal) -> None:
    settings = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "VIDEO_BASE_URL": onetake.sim.url}
    said = onetake.create("boat", **settings)

    assert (said.code, said.object["state"]) == (1, "failed")
    assert "text model" in said.object["error"]
    assert "Nothing was charged" in said.object["error"]
    assert "held:                 $0.00" in onetake("stats").out


def test_provider_refusal_exits_with_1_and_nothing_charged(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "status", status=402)
    said = onetake.create()

    assert (said.code, said.object["state"], said.object["cost_usd"]) == (1, "failed", 0.0)
    assert "no credit" in said.object["error"]
    assert onetake.paid_calls() == 0


def test_failed_render_exits_with_1_and_reports_the_failure(onetake: Terminal) -> None:
    said = onetake.create("a boat, render-fails")

    assert (said.code, said.object["state"]) == (1, "failed")
    assert "could not render" in said.object["error"]


def test_job_of_a_lost_answer_is_found_in_the_providers_list_and_paid_once(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "made_then_drop")
    said = onetake.create("a prompt that nobody else in this folder has")

    assert (said.code, said.object["state"]) == (0, "saved")
    assert onetake.paid_calls() == 1
    assert onetake.sim.creates() >= 1


def test_run_in_doubt_exits_with_4_names_the_held_money_and_can_be_settled(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "made_then_drop")
    onetake.sim.trouble("list", "status", status=400, always=True)
    said = onetake.create("a boat", "--key", "doubtful")
    ref = said.object["ref"]

    assert (said.code, said.object["state"]) == (4, "uncertain")
    for words in (
        "$0.80 stays set aside",
        "not be bought a second time",
        f"onetake show {ref}",
        f"onetake settle {ref}",
    ):
        assert words in said.object["error"]

    early = onetake("settle", ref, "--not-charged", "--why", "asked support")
    assert early.code == 1
    assert f"The order of {ref} may still turn up at the provider until 20" in early.words
    assert (
        'Nothing was changed. If the provider\'s books show that it was not made, add --early --why "...".'
        in early.words
    )
    assert onetake("show", ref, "--json").object["state"] == "uncertain"
    assert onetake("settle", ref, "--not-charged", "--early").code == 2

    settled = onetake("settle", ref, "--not-charged", "--early", "--why", "asked support")
    assert settled.code == 0
    assert "Nothing was charged" in settled.words
    assert "This rests on your word alone: the list" in settled.words
    assert onetake("settle", ref, "--not-charged").code == 1
    assert onetake.create("a boat", "--key", "doubtful").object["state"] == "failed"
    assert onetake.paid_calls() == 1


def test_settling_with_the_found_job_delivers_the_video_under_the_same_key(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "made_then_drop")
    onetake.sim.trouble("list", "status", status=400, always=True)
    ref = onetake.create("a boat", "--key", "doubtful").object["ref"]
    job = onetake.sim.books()["creates"][-1]["job_id"]

    settled = onetake("settle", ref, "--job", job)
    assert (settled.code, job in settled.out) == (0, True)
    assert "Its price ($0.80) counts" in settled.out
    said = onetake.create("a boat", "--key", "doubtful")
    assert (said.code, said.object["provider_job_id"]) == (0, job)
    assert onetake.paid_calls() == 1


def doubtful(onetake: Terminal) -> str:
    """The ref of a run whose answer was lost, and whose provider's list stays unreadable."""
    onetake("limits", "set", "cooldown_seconds", "0")
    onetake.sim.trouble("create", "made_then_drop")
    onetake.sim.trouble("list", "status", status=400, always=True)
    said = onetake.create("a boat", "--key", "doubtful")
    assert (said.code, said.object["state"]) == (4, "uncertain")
    return str(said.object["ref"])


def test_settling_with_an_unknown_job_id_is_refused_and_changes_nothing(onetake: Terminal) -> None:
    ref = doubtful(onetake)
    before = onetake("show", ref, "--json").object

    said = onetake("settle", ref, "--job", "video_nope")

    assert said.code == 1
    assert said.out.startswith(
        "The provider does not know a job video_nope. Nothing was changed. "
        'Check the id; if you are certain, add --unseen --why "...".\nIn the ledger '
    )
    after = onetake("show", ref, "--json").object
    assert {**after, "read_at": None} == {**before, "read_at": None}
    assert onetake("settle", ref, "--job", "video_nope", "--unseen").code == 2


def test_unseen_job_is_accepted_with_a_reason_and_does_not_block_the_next_order(onetake: Terminal) -> None:
    ref = doubtful(onetake)

    said = onetake("settle", ref, "--job", "video_nope", "--unseen", "--why", "support says so")

    assert said.code == 0
    assert f"{ref} is job video_nope, which the provider does not show." in said.out
    assert "Its price ($0.80) stays set aside until the video is here." in said.out and "counts" not in said.out
    onetake.sim.control("DELETE", "/_sim/faults")
    assert onetake.create("another boat").code == 0  # the user is not busy
    kinds = [each["kind"] for each in onetake("audit", "--json").object["differences"] if each["ref"] == ref]
    assert "two_paid_calls" not in kinds


def test_job_that_differs_from_the_order_is_accepted_only_with_despite(onetake: Terminal) -> None:
    ref = doubtful(onetake)
    job = onetake.sim.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})["id"]

    said = onetake("settle", ref, "--job", job)
    assert said.code == 1
    assert f"The provider shows job {job} with" in said.out and "another prompt" in said.out
    assert "Nothing was changed. If it is this order anyway, add --despite.\nIn the ledger " in said.out

    said = onetake("settle", ref, "--job", job, "--despite", "--why", "our proxy rewrites prompts")
    assert said.code == 0 and f"{ref} is job {job}" in said.out


def test_either_settlement_can_be_taken_back_until_the_same_is_ordered_again(onetake: Terminal) -> None:
    ref = doubtful(onetake)
    nothing = onetake("settle", ref, "--take-back")
    assert (nothing.code, "so there is nothing to take back" in nothing.out) == (1, True)

    onetake("settle", ref, "--not-charged", "--early", "--why", "misread")
    said = onetake("settle", ref, "--take-back", "--why", "it is there after all")
    assert said.code == 0
    words = f"The settlement was taken back: {ref} is in doubt again. $0.80 is set aside again.\nIn the ledger "
    assert said.out.startswith(words)
    onetake("settle", ref, "--job", "video_nope", "--unseen", "--why", "a guess")
    said = onetake("settle", ref, "--take-back")
    assert said.out.startswith(f"The settlement was taken back: {ref} is in doubt again. $0.80 stays set aside.\nIn")

    onetake("settle", ref, "--not-charged", "--early", "--why", "not in their console")
    assert onetake.create("a boat", "--key", "anew", "--again").code in {0, 4}
    said = onetake("settle", ref, "--take-back")
    assert said.code == 1 and "has ordered the same again since" in said.out


def test_show_of_a_run_in_doubt_has_the_kept_answer_and_the_last_look(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "status", status=502, made=True)
    onetake.sim.trouble("list", "status", status=400, always=True)
    ref = onetake.create("a boat", "--key", "doubtful").object["ref"]

    shown = onetake("show", ref, COLUMNS="160").out

    assert "kept answer" in shown and "HTTP 502" in shown.partition("kept answer")[2]
    assert "answer_kept (HTTP 502)" in shown
    assert "last look" in shown and "the list could not be read: HTTP 400" in shown


def test_stuck_render_past_its_deadline_exits_with_4(onetake: Terminal) -> None:
    said = onetake.create("a boat, render-stuck", RENDER_DEADLINE_SECONDS="0.5")

    assert (said.code, said.object["state"]) == (4, "rendering")
    assert "no video after" in said.object["error"]
    assert "(parked)" in onetake("list").out


def test_run_in_doubt_is_not_ordered_again_with_another_provider_key(onetake: Terminal) -> None:
    onetake("pause", "a moment")
    held = onetake.create("a boat", "--key", "moved")
    assert held.code == 3
    onetake("resume")
    onetake.sim.trouble("create", "made_then_drop")
    onetake.sim.trouble("list", "status", status=400, always=True)
    assert onetake.create("a boat", "--key", "moved").code == 4

    said = onetake.create("a boat", "--key", "moved", VIDEO_API_KEY="another-key")
    assert said.code == 4
    assert "it will not be bought a second time" in said.object["error"]
    assert onetake.paid_calls() == 1


def test_create_works_in_a_spanish_terminal(onetake: Terminal) -> None:
    said = onetake.create("un faro en la tormenta", LANG="es_ES.UTF-8")

    assert said.code == 0
    assert onetake("create", "un faro", "--dry-run", "--json", LANG="es_ES.UTF-8").code in {0, 3}


def test_dry_run_shows_the_whole_order_without_holding_or_buying(onetake: Terminal) -> None:
    said = onetake("create", "a paper boat", "--dry-run")

    assert said.code == 0
    for words in (
        "may order",
        "passed",
        "improved",
        "$0.80 for 8 s of sim-1",
        f"POST {onetake.sim.url}/videos",
    ):
        assert words in said.words
    assert "multipart/form-data" in said.words
    assert onetake.environment["OPENAI_API_KEY"] not in said.words
    assert onetake.paid_calls() == 0
    stats = onetake("stats").out
    assert "requests:             0" in stats
    assert "held:                 $0.00" in stats


def test_dry_run_reports_a_refusal_by_the_limits(onetake: Terminal) -> None:
    onetake("limits", "set", "budget_day_microusd", "0.10", "--yes")
    said = onetake.create("a paper boat", "--dry-run")

    assert (said.code, said.object["refused"]) == (3, "budget_exhausted")
    assert said.object["dry_run"]["price_usd"] == 0.8
    assert onetake("create", "a bloody duel, blood", "--dry-run").code in {1, 3}


def test_a_dry_run_with_a_known_key_names_its_run(onetake: Terminal) -> None:
    first = onetake.create("a boat", "--key", "k")
    said = onetake.create("a boat", "--key", "k", "--dry-run")

    assert (said.code, said.object["ref"]) == (0, first.object["ref"])
