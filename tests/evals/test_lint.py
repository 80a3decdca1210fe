"""Each kind of mistake in a template is reported at its line, with a fix."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evals.lint import lint
from evals.workbench import Bench
from pipeline.settings.resources import prompts_folder
from steps.contracts import CONTRACTS
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore
from tests.evals.program import onetake

CAPTION = """---
id: write_caption
purpose: captions
inputs:
  title:
    type: str
    max_length: 80
    example: Un barco
  improved_prompt: {type: str, max_length: 2000, example: A boat}
  category: {type: str, values: [nature, city], example: nature}
  language: {type: str, values: [es, en], example: es}
output: CaptionDraft
model: null
settings: {}
languages: [es, en]
---

## system
language: {{ language }}
{# The voice. #}
{{ brand.name }}: {{ brand.tone }} {{ brand.notes[language] }}
`text`: one sentence about the {{ category }}. `hashtags`: some.

## user
{{ fenced(title ~ improved_prompt) }}
"""
MODELS = ["gpt-6-luna", "gpt-4o-mini"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "prompts"
    folder.mkdir()
    for name in ("brand.md", "validate_prompt.md"):
        shutil.copy(prompts_folder() / name, folder)
    (folder / "write_caption.md").write_text(CAPTION)
    return Bench(folder)


def said(bench: Bench) -> list[str]:
    return [str(problem) for problem in lint(bench, MODELS)]


# rule, text to replace, its replacement, line, part of the message; line 0: anywhere
MISTAKES = [
    ("front-matter", ("---\nid", "--\nid"), 1, "begin with it, between two lines of ---"),
    ("front-matter", ("    type: str\n    max_length: 80", "    type: str\n   max_length: 80"), 7, "fix this line"),
    ("unknown-name", ("purpose:", "purpos:"), 3, "did you mean `purpose`?"),
    ("missing-name", ("purpose: captions\n", ""), 1, "`purpose` is missing"),
    ("purpose", ("purpose: captions", "purpose: ''"), 3, "say in one line"),
    ("id", ("id: write_caption", "id: caption"), 2, "it must be `write_caption`"),
    ("input-name", ("    max_length: 80", "    max_lenght: 80"), 7, "did you mean `max_length`?"),
    ("input-type", ("    type: str\n    max", "    type: string\n    max"), 6, "the types are str, int"),
    ("unbounded", ("    max_length: 80\n", ""), 5, "add max_length"),
    ("unbounded", ("type: str, values: [nature, city], example: nature", "type: int, example: 3"), 10, "add min: and"),
    ("input-values", ("values: [es, en]", "values: [es, no]"), 11, "quote yes and no"),
    ("example", ("    example: Un barco\n", ""), 5, "has no example"),
    ("example", ("example: nature", "example: space"), 10, "is none of nature, city"),
    ("front-matter", ("  category: {type: str, values: [nature, city], example: nature}",
                      "  category: {type: str, values: [nature, city], example: nature"), 10, "never closed"),
    ("contract", ("category:", "categori:"), 10, "did you mean `category`?"),
    ("contract", ("  category:", "  mood: {type: int, min: 1, max: 2, example: 1}\n  category:"), 10, "remove it"),
    ("contract", ("  category: {type: str, values: [nature, city], example: nature}\n", ""), 4, "gives `category`"),
    ("output-model", ("output: CaptionDraft", "output: Caption"), 12, "write output: CaptionDraft"),
    ("output-field", ("`hashtags`: some.", "And some tags."), 18, "`hashtags` should be"),
    ("language", ("languages: [es, en]", "languages: [en]"), 15, "lacks es"),
    ("language", ("values: [es, en]", "values: [es, en, de]"), 11, "languages says es, en"),
    ("language", ("languages: [es, en]", "languages: es"), 15, "are a list"),
    ("model", ("model: null", "model: gpt-6-lunar"), 13, "did you mean `gpt-6-luna`?"),
    ("setting", ("settings: {}", "settings: {temprature: 1}"), 14, "did you mean `temperature`?"),
    ("setting", ("settings: {}", "settings: {tools: []}"), 14, "cannot be set here"),
    ("setting-value", ("settings: {}", "settings:\n  seed: 1\n  temperature: 9"), 16, "takes a number from 0 to 2"),
    ("section", ("## user", "## usr"), 24, "did you mean `user`?"),
    ("section", ("## system", "## user"), 24, "appears twice"),
    ("syntax", ("{{ category }}", "{{ category }"), 22, "Jinja syntax is"),
    ("syntax", ("{{ category }}", "{{ category | uper }}"), 22, "No filter named 'uper'"),
    ("syntax", ("{{ category }}", "{% if category %}x{% endfi %}"), 22, "did you mean `endif`?"),
    ("undeclared", ("{{ category }}", "{{ categorry }}"), 22, "did you mean `category`?"),
    ("undeclared", ("{{ category }}", "{{ category }} {{ mood }}"), 22, "declare it under inputs"),
    ("unused", ("{{ category }}", "subject"), 10, "`category` is never used; write {{ category }}"),
    ("unused", ("title ~ improved_prompt", "title"), 9, "write {{ fenced(improved_prompt) }}"),
    ("mistyped", ("{{ category }}", "{{ category }}{% if language == 'sp' %}x{% endif %}"), 22, "never 'sp'"),
    ("mistyped", ("{{ category }}", "{{ category }}{{ 'x' if language in ['es', 'eng'] }}"), 22, "did you mean `en`?"),
    ("brand-name", ("brand.tone", "brand.tune"), 21, "did you mean `tone`?"),
    ("fence", ("{{ category }}", "{{ category }} {{ title }}"), 22, "{{ fenced(title) }}"),
    ("fence", ("fenced(title ~ improved_prompt)", "title | upper ~ fenced(improved_prompt)"), 25, "outside its fence"),
    ("fence-mark", ("{{ category }}", "{{ category }} <<<user_text"), 22, "written by hand"),
    ("comment", ("{# The voice. #}", "<!-- The voice. -->"), 20, "is sent to the model"),
    ("too-long", ("`hashtags`: some.", "`hashtags`: " + "word " * 2000), 18, "models overlook rules"),
    ("secret", ("one sentence", "sk-" + "a1" * 12), 22, "revoke it"),
    ("load", ("{{ category }}", "{% set x = title %}{{ category }} {{ x }}"), 1, "must be inside"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change", "line", "words"), MISTAKES)
def test_template_mistake_is_reported_at_its_line_with_a_fix(
    rule: str, change: tuple[str, str], line: int, words: str, bench: Bench
) -> None:
    assert change[0] in CAPTION
    (bench.prompts / "write_caption.md").write_text(CAPTION.replace(*change, 1))
    found = [problem for problem in lint(bench, MODELS) if problem.rule == rule]
    assert any(problem.line == line and words in problem.words for problem in found), said(bench)
    assert all(problem.file == "write_caption.md" for problem in found)


def test_misspelt_name_is_reported_only_once(bench: Bench) -> None:
    (bench.prompts / "write_caption.md").write_text(CAPTION.replace("{{ category }}", "{{ categry }}"))
    [only] = said(bench)
    assert "[undeclared]" in only


def test_brand_mistake_is_reported_at_its_line(bench: Bench) -> None:
    path = bench.prompts / "brand.md"
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("tone:"))
    path.write_text(path.read_text().replace("tone:", "tonee:", 1))
    assert f"prompts/brand.md:{place}: error [brand] tonee is not a known name; did you mean `tone`?" in said(bench)
    path.write_text(path.read_text().replace("tonee:", "tone: [", 1))
    assert any(f"brand.md:{place}: error [brand] is not YAML" in each for each in said(bench)), said(bench)


def test_missing_brand_file_is_reported(bench: Bench) -> None:
    (bench.prompts / "brand.md").unlink()
    assert any(each.startswith("prompts/brand.md:1: warning [brand-missing] is missing") for each in said(bench))


def test_unlisted_model_is_booked_at_the_highest_listed_price(bench: Bench) -> None:
    (bench.prompts / "write_caption.md").write_text(CAPTION.replace("model: null", "model: gpt-99"))
    told = onetake("prompts", "lint", cwd=bench.root).stdout
    assert "gpt-99 is not in models.toml, so it is booked at the highest price listed there" in told
    assert "a call at gpt-99, the highest price in models.toml, which does not list it" in told


def test_language_missing_from_the_brand_is_named_instead_of_a_jinja_error(bench: Bench) -> None:
    path = bench.prompts / "brand.md"
    path.write_text(path.read_text().replace("## en", "## de", 1))
    assert not any("has no attribute" in each for each in said(bench)), said(bench)
    with pytest.raises(TemplateError, match=r"brand\.md: has no notes for en; add a section ## en"):
        bench.template("write_caption")


CASES = """template: write_caption
group: mine
cases:
  good:
    input: {title: Un barco, improved_prompt: A boat, category: nature, language: es}
    expect: {hashtags: {min: 4}}
  bad:
    input: {title: Un barco, improved_prompt: A boat, category: nature, language: es}
    expect: {text: {max_length: 300}}
"""


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("  bad:", "  good:"), 7, "good appears twice"),
        (("  bad:", "  Bad:"), 7, "lower-case letters"),
        (("expect: {text", "expect: {txt"), 7, "CaptionDraft has no txt; its fields are text, hashtags"),
        (("{max_length: 300}", "{max_lenght: 300}"), 7, "max_lenght: extra inputs are not permitted"),
        (("expect: {text: {max_length: 300}}", "expect: {hashtags: true}"), 7, "hashtags can never be true"),
        (("category: nature, language: es}\n    expect: {text", "category: space, language: es}\n    expect: {text"),
         7, "bad: the input category is none of nature, city"),
        (("template: write_caption", "template: caption"), 1, "template caption does not exist"),
        (("{max_length: 300}}", "{max_length: 300}"), 9, "is not YAML"),
    ],
)  # fmt: skip
def test_case_mistake_is_reported_with_its_file_and_line(
    change: tuple[str, str], line: int, words: str, bench: Bench
) -> None:
    assert change[0] in CASES
    (bench.prompts / "cases").mkdir()
    (bench.prompts / "cases" / "mine.yaml").write_text(CASES.replace(*change, 1))
    [only] = said(bench)
    assert only.startswith(f"prompts/cases/mine.yaml:{line}: error [case] ")
    assert words in only
    told = onetake("prompts", "eval", cwd=bench.root)
    assert told.returncode == 2
    assert f"prompts/cases/mine.yaml:{line}: " in told.stderr
    assert words in told.stderr


def test_all_case_mistakes_are_reported_at_once(bench: Bench) -> None:
    (bench.prompts / "cases").mkdir()
    broken = CASES.replace("category: nature", "category: space")
    (bench.prompts / "cases" / "mine.yaml").write_text(broken)
    (bench.prompts / "cases" / "yours.yaml").write_text(CASES.replace("expect: {text", "expect: {txt"))
    assert [line.partition(": error")[0] for line in said(bench)] == [
        "prompts/cases/mine.yaml:4",
        "prompts/cases/mine.yaml:7",
        "prompts/cases/yours.yaml:4",
        "prompts/cases/yours.yaml:7",
    ]
    assert "more: `onetake prompts lint` lists them" in onetake("prompts", "eval", cwd=bench.root).stderr


def test_lint_mistakes_cover_at_least_fifteen_rules() -> None:
    assert len({rule for rule, *_ in MISTAKES}) >= 15


@pytest.mark.parametrize(
    ("rule", "change", "words"),
    [
        ("brand", ("tone:", "tune:"), "tune is not a known name"),
        ("brand-language", ("## en", "## de"), "add a section ## en"),
        ("brand-banned", ("tone: ", "tone: viral, "), "its own banned word viral"),
        ("secret", ("## en\n", "## en\nsk-" + "a1" * 12 + "\n"), "revoke it"),
    ],
)
def test_brand_mistake_is_reported_under_its_rule(rule: str, change: tuple[str, str], words: str, bench: Bench) -> None:
    path = bench.prompts / "brand.md"
    path.write_text(path.read_text().replace(*change, 1))
    assert [each for each in said(bench) if f"[{rule}]" in each and "brand.md" in each and words in each], said(bench)


def test_valid_folder_has_no_problems(bench: Bench) -> None:
    assert said(bench) == []
    assert said(Bench(prompts_folder())) == []


def test_undecodable_and_unknown_files_are_reported(bench: Bench) -> None:
    (bench.prompts / "write_caption.md").write_bytes(b"\xff\xfe")
    (bench.prompts / "write_captoin.md").write_text(CAPTION)
    words = "\n".join(said(bench))
    assert "write_caption.md:1: error [encoding]" in words
    assert "write_captoin.md:1: warning [unknown-file]" in words
    assert "did you mean `write_caption`?" in words


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_template_that_the_bot_refuses_is_a_lint_error(
    mistake: tuple[str, tuple[str, str], int, str], bench: Bench
) -> None:
    (bench.prompts / "write_caption.md").write_text(CAPTION.replace(*mistake[1], 1))
    try:
        PromptStore(bench.prompts, contracts=CONTRACTS).get("write_caption")
    except TemplateError:
        assert any(problem.error for problem in lint(bench, MODELS))


def test_lint_command_prints_the_problems_and_the_price_of_a_call(bench: Bench) -> None:
    good = onetake("prompts", "lint", cwd=bench.root)
    assert good.returncode == 0
    assert "nothing wrong" in good.stdout
    assert "a call at gpt-6-luna" in good.stdout
    (bench.prompts / "write_caption.md").write_text(CAPTION.replace("brand.tone", "brand.tune"))
    bad = onetake("prompts", "lint", cwd=bench.root)
    assert bad.returncode == 1
    assert "prompts/write_caption.md:21: error [brand-name]" in bad.stdout
    [problem] = [json.loads(line) for line in onetake("prompts", "lint", "--json", cwd=bench.root).stdout.splitlines()]
    assert (problem["line"], problem["rule"], problem["error"]) == (21, "brand-name", True)


def test_lint_imports_no_slow_or_purchasing_modules() -> None:
    heavy = {
        "openai",
        "instructor",
        "aiogram",
        "supabase",
        "httpx2",
        "providers.transport",
        "pipeline.purchase.submission",
        "av",
    }
    program = (
        "import sys; from evals.workbench import open_bench, catalogue; from evals.lint import lint;"
        f"lint(open_bench()); print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
