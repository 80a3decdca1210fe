"""Templates are checked when they are read, so that a broken edit never reaches a run; and the fence."""

import hashlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.text_model.fence import FENCE_CLOSE, FENCE_OPEN, fenced
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore
from steps.text_model.templates import Template, load_template

PROMPTS = Path(__file__).parents[3] / "prompts"
GOOD = """---
id: greet
purpose: to greet
inputs:
  name: {type: str, max_length: 10, example: Ana}
  language: {type: str, values: [es, en], example: es}
output: Greeting
model: null
settings: {}
languages: [es, en]
---
## system
language: {{ language }}
## user
{{ fenced(name) }}
"""


def written(folder: Path, text: str = GOOD) -> Path:
    path = folder / "greet.md"
    path.write_text(text, encoding="utf-8")
    return path


def rendered(template: Template, name: str = "Ana") -> str:
    return "\n".join(message["content"] for message in template.render(name=name, language="es"))


@given(
    st.text()
    | st.lists(st.sampled_from(["<<<user_text", "user_text>>>", "user_text", ">", "<", ">>>", "\n", "USER_TEXT "])).map(
        "".join
    )
)
def test_fence_marks_inside_the_text_are_neutralized(text: str) -> None:
    body = fenced(text).removeprefix(FENCE_OPEN + "\n").removesuffix("\n" + FENCE_CLOSE)
    assert fenced(text) == f"{FENCE_OPEN}\n{body}\n{FENCE_CLOSE}"
    assert not re.search(r"<\s*user_text|user_text\s*>", body, re.IGNORECASE)


@given(st.text(alphabet=st.characters(exclude_characters="<>")))
def test_text_without_fence_marks_is_unchanged(text: str) -> None:
    assert fenced(text) == f"{FENCE_OPEN}\n{text}\n{FENCE_CLOSE}"


@pytest.mark.parametrize("text", ["{{ 7*7 }}", "{% include 'x' %}", "{{ fenced(name) }}", "{# no #}"])
def test_template_syntax_in_an_input_is_not_rendered(text: str, tmp_path: Path) -> None:
    long = load_template(written(tmp_path, GOOD.replace("max_length: 10", "max_length: 100")))
    assert f"{FENCE_OPEN}\n{text}\n{FENCE_CLOSE}" in rendered(long, text)


def test_template_version_is_the_sha256_of_its_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert load_template(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_template_with_crlf_and_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert rendered(load_template(path)) == rendered(load_template(written(tmp_path)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("---\nid", "id", "no front matter"),
        ("id: greet", "id: other", "id and file name must be the same"),
        ("purpose: to greet\n", "", "has no 'purpose'"),
        ("purpose:", "porpoise:", "unknown names in the front matter: porpoise"),
        ("max_length: 10", "maxlength: 10", "input name: unknown fields: maxlength"),
        ("type: str, max", "type: date, max", "there are str, int"),
        ("inputs:", "inputs: [", "is not YAML"),
        ("example: Ana", "example: 7", "name is not text"),
        ("example: Ana", "example: far too long a name", "longer than 10"),
        ("languages: [es, en]", "languages: [es, en, fr]", "language is none of es, en"),
        ("## user", "## assistant", "not assistant"),
        ("## ", "# ", "not none"),
        ("{{ language }}", "{{ languag }}", "section system: languag is no input"),
        ("{{ language }}", "{{ language", "section system"),
        ("{{ language }}", "{{ language.__class__ }}", "unsafe"),
        ("{{ language }}", "{{ fenced.__globals__ }}", "unsafe"),
        ("{{ language }}", "{{ '{0.__class__}'.format(language) }}", "unsafe"),
        ("{{ language }}", "{{ language | uper }}", "greet.md, line 13, section system: No filter named 'uper'"),
        ("{{ language }}", "{{ 1 if language is nice }}", "No test named 'nice'"),
        ("{{ language }}", "{{ 7 // 0 }}", "division"),
        ("{{ language }}", "{{ language.encode('klingon') }}", "klingon"),
        ("{{ language }}", "{{ language | xmlattr }}", "items"),
        ("{{ language }}", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
        ("{{ language }}", "{% include 'other.md' %}", "no loader"),
        ("max_length: 10", "max_length: ten", "max_length of name must be a number, not ten"),
        ("max_length: 10", "max_length: '10'", "max_length of name must be a number"),
        ("max_length: 10", "max_length: 0", "max_length of name must be a number"),
        ("values: [es, en]", "values: [es, no]", "values of language must be a list of words"),
        ("values: [es, en]", "values: es", "values of language must be a list of words"),
        ("model: null", "model: 7", "model must be a name or null"),
        ("settings: {}", "settings: hot", "settings must be a table"),
        ("settings: {}", "settings: {temperature: hot}", "settings: temperature is hot; it takes a number from 0 to 2"),
        (
            "settings: {}",
            "settings: {seed: 1.5, top_p: 2}",
            "seed is 1.5; it takes a whole number; top_p is 2; it takes",
        ),
        ("## user", "## system\n## user", "appears twice"),
        ("{{ fenced(name) }}", "{{ fenced(name) | upper }}", r"must be inside \{\{ fenced"),
        ("{{ fenced(name) }}", "{{ fenced(name) }} {{ name | upper }}", r"must be inside \{\{ fenced"),
        ("{{ fenced(name) }}", "{{ name }}", r"must be inside \{\{ fenced"),
        ("{{ fenced(name) }}", "{{ fenced(name) }}, dear {{ name }}", r"must be inside \{\{ fenced"),
        ("{{ fenced(name) }}", "<<<user_text {{ fenced(name) }}", r"must be inside \{\{ fenced"),
    ],
)
def test_broken_template_raises_a_specific_error(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(TemplateError, match=says):
        load_template(written(tmp_path, GOOD.replace(old, new)))


def test_binary_or_missing_template_is_a_template_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match="cannot be read"):
        load_template(path)
    with pytest.raises(TemplateError, match="cannot be read"):
        load_template(tmp_path / "none.md")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"name": "Ana"}, "inputs do not match: language"),
        ({"name": "Ana", "language": "es", "age": "7"}, "inputs do not match: age"),
        ({"name": "Ana", "language": "fr"}, "language is none of es, en"),
        ({"name": "A" * 11, "language": "es"}, "name is longer than 10"),
        ({"name": 7, "language": "es"}, "name is not text"),
    ],
)
def test_render_rejects_missing_unknown_or_invalid_inputs(inputs: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=says):
        load_template(written(tmp_path)).render(**inputs)


def touched(path: Path, text: str, at: int) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at, at))


def test_template_edit_is_picked_up_on_the_next_get(tmp_path: Path) -> None:
    store = PromptStore(tmp_path)
    touched(written(tmp_path), GOOD, 1)
    before = store.get("greet")
    assert store.get("greet") is before
    touched(tmp_path / "greet.md", GOOD.replace("## user", "Be kind.\n## user"), 2)
    assert "Be kind." in rendered(store.get("greet"))


def test_broken_template_edit_keeps_the_last_good_version_and_is_reported_once(tmp_path: Path) -> None:
    said: list[str] = []
    store = PromptStore(tmp_path, lambda error: said.append(str(error)))
    touched(written(tmp_path), GOOD, 1)
    good = store.get("greet")
    touched(tmp_path / "greet.md", GOOD.replace("fenced(name)", "fenced(nam)"), 2)
    assert [store.get("greet") for _ in range(3)] == [good] * 3
    assert len(said) == 1
    assert "section user: nam is no input" in said[0]
    (tmp_path / "greet.md").unlink()
    assert store.get("greet") is good
    touched(tmp_path / "greet.md", GOOD.replace("to greet", "to mend"), 3)
    assert store.get("greet").purpose == "to mend"


@pytest.mark.parametrize("slip", ["{{ name | uper }}", "{{ 7 // 0 }}", "{{ fenced(name"])
def test_any_template_error_keeps_the_last_good_version(slip: str, tmp_path: Path) -> None:
    said: list[TemplateError] = []
    store = PromptStore(tmp_path, said.append)
    touched(written(tmp_path), GOOD, 1)
    good = store.get("greet")
    touched(tmp_path / "greet.md", GOOD.replace("{{ fenced(name) }}", slip), 2)
    assert store.get("greet") is good
    assert len(said) == 1


def test_template_error_is_raised_on_every_get_without_a_good_version(tmp_path: Path) -> None:
    store = PromptStore(tmp_path)
    written(tmp_path, "nothing")
    for _ in range(2):
        with pytest.raises(TemplateError, match="no front matter"):
            store.get("greet")


@pytest.mark.parametrize("name", ["validate_prompt", "write_caption"])
@pytest.mark.parametrize("language", ["es", "en"])
def test_shipped_prompts_state_the_language_on_a_separate_line(name: str, language: str) -> None:
    template = load_template(PROMPTS / f"{name}.md")
    inputs = {key: spec.example for key, spec in template.inputs.items()} | {"language": language}
    system, user = template.render(**inputs)
    assert f"language: {language}" in system["content"].splitlines()
    assert user["content"].count(FENCE_OPEN) == user["content"].count(FENCE_CLOSE) == 1
