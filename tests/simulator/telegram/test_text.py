"""Telegram's HTML, the entities it detects, and the safe HTML of the page."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.telegram.api.refusals import Refused
from simulator.telegram.control.views import html_of
from simulator.telegram.text.entities import Entity, finished, piece, units
from simulator.telegram.text.markup import parse_html


def _read(text: str) -> tuple[str, list[tuple[str, str]]]:
    formatted = finished(*parse_html(text))
    return formatted.text, [(each.kind, piece(formatted.text, each.offset, each.end)) for each in formatted.entities]


@pytest.mark.parametrize(
    ("marked_up", "plain", "entities"),
    [
        ("<b>a</b> <strong>b</strong>", "a b", [("bold", "a"), ("bold", "b")]),
        ("<i>a<em>b</em></i>", "ab", [("italic", "ab"), ("italic", "b")]),
        ("<u>a</u><ins>b</ins>", "ab", [("underline", "a"), ("underline", "b")]),
        ("<s>a</s><strike>b</strike><del>c</del>", "abc", [("strikethrough", each) for each in "abc"]),
        ('<tg-spoiler>a</tg-spoiler><span class="tg-spoiler">b</span>', "ab", [("spoiler", "a"), ("spoiler", "b")]),
        ("<blockquote>a</blockquote>", "a", [("blockquote", "a")]),
        ("<blockquote expandable>a</blockquote>", "a", [("expandable_blockquote", "a")]),
        ("<code>a &amp; @nobody</code>", "a & @nobody", [("code", "a & @nobody")]),
        ("<pre><code class='language-py'>x</code></pre>", "x", [("pre", "x")]),
        ('<a href="https://x.org/?a=1&amp;b=2">x</a>', "x", [("text_link", "x")]),
        ('<a href="javascript:alert(1)">x</a>', "x", []),
        ("<a>x.org</a>", "x.org", [("text_link", "x.org")]),
        ('<tg-emoji emoji-id="5">x</tg-emoji>', "x", []),
        ("<B>a</B>", "a", [("bold", "a")]),
        ("<b>a</>", "a", [("bold", "a")]),
        ("<b></b>a", "a", []),
        ("&lt;b&gt; &amp; &quot; &#65;&#x1F98A; &eacute; &", '<b> & " A🦊 &eacute; &', []),
        ("  <b> a </b>  ", "a", [("bold", "a")]),
        ("🦊<b>🦊</b>", "🦊🦊", [("bold", "🦊")]),
    ],
)
def test_html_is_parsed_into_text_and_entities(marked_up: str, plain: str, entities: list[tuple[str, str]]) -> None:
    assert _read(marked_up) == (plain, entities)


@pytest.mark.parametrize(
    ("marked_up", "words"),
    [
        ("a <b>c", 'Can\'t find end tag corresponding to start tag "b"'),
        ("ñ<x>", 'Unsupported start tag "x" at byte offset 2'),
        ("1 < 2 > 1", 'Unsupported start tag "" at byte offset 2'),
        ("a <", "Unclosed start tag at byte offset 2"),
        ("a <b", "Unclosed start tag at byte offset 2"),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("<b>a</b", "Unclosed end tag at byte offset 4"),
        ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ('<a ="x">a</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
        ('<a href="x', "Unclosed start tag at byte offset 0"),
        ("<a href=x/y>a</a>", "Unexpected end of name token at byte offset 8"),
        ("<br/>", 'Unsupported start tag "br/" at byte offset 0'),
    ],
)
def test_html_errors_use_telegrams_wording(marked_up: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_html(marked_up)
    assert refused.value.description == f"Bad Request: can't parse entities: {words}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/create@onetake_bot a fox", [("bot_command", "/create@onetake_bot")]),
        ("and/or 1/2 //x", []),
        ("ask @onetake_bot, not a@b.org", [("mention", "@onetake_bot"), ("email", "a@b.org")]),
        ("#fox #42 #año2 x#y", [("hashtag", "#fox"), ("hashtag", "#año2")]),
        ("$USD $usd", [("cashtag", "$USD")]),
        ("(see https://x.org/a_(b)/#c).", [("url", "https://x.org/a_(b)/#c")]),
        ("example.com or v1.2 or e.g.", [("url", "example.com")]),
        ("🦊 #fox", [("hashtag", "#fox")]),
    ],
)
def test_entities_are_detected_in_plain_text(text: str, found: list[tuple[str, str]]) -> None:
    entities = finished(text, ()).entities
    assert [(each.kind, piece(text, each.offset, each.end)) for each in entities] == found


@pytest.mark.parametrize(
    ("text", "entities", "shown"),
    [
        ("<b> & 'x'", (), "&lt;b&gt; &amp; &#x27;x&#x27;"),
        (
            "abcd",
            (Entity("bold", 0, 3), Entity("italic", 1, 3)),
            "<b>a<i>bc</i></b><i>d</i>",
        ),
        (
            "x",
            (Entity("text_link", 0, 1, 'https://x.org/"onload="'),),
            '<a href="https://x.org/&quot;onload=&quot;">x</a>',
        ),
        ("x", (Entity("text_link", 0, 1, "javascript:alert(1)"),), "x"),
        ("x", (Entity("pre", 0, 1, language="py"),), '<pre><code class="language-py">x</code></pre>'),
        ("x", (Entity("pre", 0, 1, language='"><script>'),), "<pre>x</pre>"),
        ("/go", (Entity("bot_command", 0, 3),), '<span data-command="/go">/go</span>'),
        ("a@b.org", (Entity("email", 0, 7),), '<a href="mailto:a@b.org">a@b.org</a>'),
        ("x.org", (Entity("url", 0, 5),), '<a href="http://x.org">x.org</a>'),
    ],
)
def test_entities_are_rendered_as_escaped_html(text: str, entities: tuple[Entity, ...], shown: str) -> None:
    assert html_of(text, entities) == shown


_KINDS = ["bold", "italic", "code", "pre", "blockquote", "spoiler", "text_link"]
_ENTITIES = st.lists(
    st.builds(Entity, st.sampled_from(_KINDS), st.integers(0, 30), st.integers(1, 30), st.text(max_size=20)), max_size=6
)


@given(st.text(alphabet="ab<>&\"'/ 🦊ñ@#.\n", max_size=40), _ENTITIES)
def test_rendered_html_has_balanced_tags_and_keeps_the_text(text: str, entities: list[Entity]) -> None:
    formatted = finished(text, entities)
    shown = html_of(formatted.text, formatted.entities)
    tags = re.findall(r"<[^>]*>", shown)
    opened: list[str] = []
    for tag in tags:
        name = re.match(r"</?(\w+)", tag)
        assert name is not None
        if tag.startswith("</"):
            assert opened.pop() == name.group(1)
        else:
            opened.append(name.group(1))
    assert opened == []
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == formatted.text


@given(st.text(max_size=60))
def test_parse_html_parses_or_rejects_any_text_without_crashing(text: str) -> None:
    try:
        plain, entities = parse_html(text)
    except Refused:
        return
    assert all(0 <= each.offset < each.end <= units(plain) for each in entities)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_escaped_text_comes_through_unchanged(text: str) -> None:
    assert parse_html(html.escape(text, quote=False)) == (text, [])
