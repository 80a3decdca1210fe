"""docs/providers.md says of each provider what its facts say."""

from providers.apis import FACTS
from providers.orders import OPENAI
from tests.guarantee.at_each import passport


def test_page_has_a_passport_of_each_provider_with_its_facts() -> None:
    shown = passport.facts_in(passport.PAGE.read_text(encoding="utf-8"))
    assert list(shown) == [facts.title for name, facts in FACTS.items() if name != OPENAI]
    for name, facts in FACTS.items():
        if name == OPENAI:
            continue
        section = shown[facts.title]
        assert all(each in section for each in facts.unknown), name
        assert all(f"`{key}`" in section for key in facts.key_names), name
        assert passport.MARKERS[facts.marker] in section, name


def test_every_test_that_a_passport_names_exists() -> None:
    page = passport.PAGE.read_text(encoding="utf-8")
    named = {part.split(")")[0] for part in page.split("](../")[1:]}
    assert [name for name in named if not (passport.ROOT / name).exists()] == []
    assert len(named) > len(FACTS)
