"""The shared voice: what one edit of it changes, and the two rules that code enforces."""

from pathlib import Path

import pytest

from steps.text_model.ask_model import TextModelUnusable
from steps.text_model.brand import NO_BRAND, Brand, banned_in, load_brand, read_brand
from steps.text_model.front_matter import TemplateError
from steps.text_model.templates import Template, read_template
from steps.validate_prompt import Brief
from steps.write_caption import (
    CAPTION_UNITS_MAX,
    HASHTAGS_MAX,
    Caption,
    CaptionDraft,
    branded,
    draft_without,
    joined,
    plain_caption,
    units,
    write_caption,
)
from tests.steps.text_model.chat import completion, messages_of, text_model

BRAND = """---
name: Kino
tone: dry
banned_words: [viral, increíble]
required_hashtags: ["#kino"]
---
## es
Tutea.
## en
Short.
"""
TEMPLATE = b"""---
id: write_caption
purpose: captions
inputs:
  title: {type: str, max_length: 80, example: Un barco}
  improved_prompt: {type: str, max_length: 2000, example: A boat}
  category: {type: str, values: [nature], example: nature}
  language: {type: str, values: [es, en], example: es}
output: CaptionDraft
model: null
settings: {}
languages: [es, en]
---
## system
language: {{ language }}
You are {{ brand.name }}, {{ brand.tone }}. {{ brand.notes[language] }} {{ category }}
## user
{{ fenced(title ~ improved_prompt) }}
"""
BRIEF = Brief("A paper boat drifts.", "Un barco de papel", "nature", "es")
TAGS = ["#barco", "#lluvia", "#calma"]


def template(brand: str = BRAND) -> Template:
    return read_template("write_caption.md", TEMPLATE, read_brand(brand.encode()))


def test_brand_edit_changes_the_prompt_and_the_brand_version() -> None:
    before, after = template(), template(BRAND.replace("dry", "tender"))
    inputs = {name: spec.example for name, spec in before.inputs.items()}
    assert "You are Kino, dry. Tutea." in before.render(**inputs)[0]["content"]
    assert "You are Kino, tender. Tutea." in after.render(**inputs)[0]["content"]
    assert before.versions["write_caption"] == after.versions["write_caption"]
    assert before.versions["brand"] != after.versions["brand"]


def test_template_without_brand_references_has_no_brand_version() -> None:
    plain = TEMPLATE.replace(b"{{ brand.name }}, {{ brand.tone }}. {{ brand.notes[language] }}", b"a writer of")
    assert set(read_template("write_caption.md", plain, read_brand(BRAND.encode())).versions) == {"write_caption"}


async def test_caption_with_a_banned_word_is_retried_once_and_never_used() -> None:
    bad, good = ({"text": text, "hashtags": TAGS} for text in ("Un barco VIRAL.", "Un barco."))
    async with text_model(completion(bad), completion(good)) as (server, client):
        caption, asked = await write_caption(BRIEF, "es", template(), client, "m")
    assert (caption.text, asked.asks) == ("Un barco.", 2)
    assert "these words are not used: viral" in messages_of(server, 1)[-1]["content"]
    async with text_model(completion(bad)) as (_, client):
        with pytest.raises(TextModelUnusable):
            await write_caption(BRIEF, "es", template(), client, "m")


async def test_missing_required_hashtag_is_added() -> None:
    async with text_model(completion({"text": "Un barco.", "hashtags": TAGS})) as (_, client):
        caption, _ = await write_caption(BRIEF, "es", template(), client, "m")
    assert caption.hashtags == (*TAGS, "#kino")
    assert plain_caption(BRIEF, template().brand).hashtags[-1] == "#kino"


def test_caption_schema_is_the_same_with_and_without_banned_words() -> None:
    assert draft_without(("viral",)).model_json_schema() == CaptionDraft.model_json_schema()
    assert draft_without(("viral",)).__name__ == "CaptionDraft"
    assert draft_without(()).model_validate({"text": "viral", "hashtags": TAGS})


def test_required_hashtags_replace_others_when_there_is_no_room() -> None:
    brand = Brand("", "k", "t", required_hashtags=("#Kino", "#ia"))
    full = branded(Caption("x", tuple(f"#t{i}" for i in range(HASHTAGS_MAX))), brand)
    assert full.hashtags == ("#t0", "#t1", "#t2", "#t3", "#t4", "#t5", "#Kino", "#ia")
    assert branded(Caption("x", ("#kino", "#b")), brand).hashtags == ("#b", "#Kino", "#ia")
    tight = branded(Caption("x" * (CAPTION_UNITS_MAX - 12), ("#barco", "#b")), brand)
    assert tight.hashtags == ("#Kino", "#ia")
    assert units(joined(tight.text, tight.hashtags)) <= CAPTION_UNITS_MAX
    assert branded(Caption("x" * (CAPTION_UNITS_MAX - 2), ("#barco",)), brand).hashtags == ("#barco",)


@pytest.mark.parametrize("text", ["Es increible.", "INCREÍBLE", "viral!", "#viral", "(viral)"])
def test_banned_word_matches_regardless_of_case_and_accents(text: str) -> None:
    assert banned_in(text, ("viral", "increíble"))


@pytest.mark.parametrize("text", ["virality", "un increíblemente", "", "antiviral"])
def test_banned_word_does_not_match_inside_a_longer_word(text: str) -> None:
    assert not banned_in(text, ("viral", "increíble"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: Kino", "nam: Kino"), "unknown names in the front matter: nam"),
        (("tone: dry\n", ""), "tone is missing"),
        (("[viral, increíble]", "viral"), "banned_words must be a list of words"),
        (('["#kino"]', "[#kino]"), "front matter is not YAML"),
        (('["#kino"]', '["kino"]'), "kino is no hashtag"),
        (('["#kino"]', '["#a", "#b", "#c", "#d", "#e"]'), "at most 4 required hashtags"),
        (("## en", "## es"), "a section appears twice"),
        (("---\nname", "name"), "has no front matter"),
    ],
)
def test_invalid_brand_file_raises_a_specific_error(change: tuple[str, str], said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        read_brand(BRAND.replace(*change).encode())


def test_missing_brand_file_means_no_brand(tmp_path: Path) -> None:
    assert load_brand(tmp_path / "brand.md") == NO_BRAND
