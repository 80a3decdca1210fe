"""`supabase/schemas/` and `supabase/migrations/` make the same schema, and the next migration is generated."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.schema import MIGRATIONS, SCHEMAS, Catalogue, build, differences, functions, next_migration, texts
from tests.support.project import project_database

Build = Callable[..., Catalogue]

A_NEW_ONE = """-- New.
create function public.a_new_one(p_words text) returns text
language sql set search_path = '' as $$
    select upper(p_words);
$$;
select onetake.restrict(array['a_new_one']);
"""


@pytest.fixture
def made(postgres_uri: str) -> Iterator[Build]:
    """Runs scripts in an empty database that has Supabase's roles; returns its catalogue."""
    with ExitStack() as databases:

        def run(*scripts: str) -> Catalogue:
            return build(databases.enter_context(project_database(postgres_uri, migrated=False)), scripts)

        yield run


def test_the_migrations_and_the_schemas_make_the_same_database(made: Build) -> None:
    assert differences(made(*texts(MIGRATIONS)), made(*texts(SCHEMAS))) == []


def test_every_function_is_defined_once_and_has_a_comment(made: Build) -> None:
    there = [name.partition("(")[0] for kind, name in made(*texts(SCHEMAS)) if kind == "function"]
    written = functions(texts(SCHEMAS))
    assert sorted(f"public.{name}" if "." not in name else name for name in there) == sorted(written)
    assert [name for name, text in written.items() if not text.startswith("--")] == []
    assert sum(
        len(re.findall(r"^create (?:or replace )?function", text, re.MULTILINE)) for text in texts(SCHEMAS)
    ) == len(written)


def test_generated_migration_covers_functions_and_lists_what_to_add_by_hand(made: Build) -> None:
    before = texts(SCHEMAS)
    after = [
        text.replace("where n.nspname = 'onetake' or", "where n.nspname in ('onetake') or").replace(
            "    blocked_reason text,", "    blocked_reason text,\n    nickname text,"
        )
        for text in before
    ]
    after.append(A_NEW_ONE)
    gone = functions(before)["public.is_winner"]
    after = [text.replace(gone, "") for text in after]

    was, wanted = made(*before), made(*after)
    text, by_hand = next_migration(was, wanted, after)

    assert by_hand == [("column", "onetake.users.nickname")]
    assert "drop function public.is_winner(uuid,text);" in text
    assert "-- New.\ncreate or replace function public.a_new_one" in text
    assert differences(made(*before, text), wanted) == by_hand
    assert differences(made(*before, text, "alter table onetake.users add column nickname text"), wanted) == []


def test_function_with_a_renamed_argument_is_dropped_first(made: Build) -> None:
    """PostgreSQL refuses to replace it: "cannot change name of input parameter"."""
    before = texts(SCHEMAS)
    winner = functions(before)["public.is_winner"]
    after = [text.replace(winner, winner.replace("p_token", "p_word")) for text in before]

    was, wanted = made(*before), made(*after)
    text, by_hand = next_migration(was, wanted, after)

    assert by_hand == [] and text.startswith("drop function public.is_winner(uuid,text);")
    assert differences(made(*before, text), wanted) == []


def test_replace_draft_passes_every_argument_of_reserve() -> None:
    """One that has a default would be left out without an error, for edited drafts only."""
    written = functions(texts(SCHEMAS))
    head = written["public.reserve"].partition("returns jsonb")[0].partition("create function")[2]
    call = written["public.replace_draft"].partition("public.reserve(")[2].partition("if v_answer")[0]
    assert re.findall(r"\b(p_\w+) =>", call) == re.findall(r"\b(p_\w+) ", head)


def test_unchanged_schema_generates_no_migration(made: Build) -> None:
    same = made(*texts(SCHEMAS))
    assert next_migration(same, same, texts(SCHEMAS)) == ("", [])


def test_the_folders_are_where_the_supabase_cli_looks() -> None:
    assert [path.name for path in (SCHEMAS, MIGRATIONS)] == ["schemas", "migrations"]
    assert all(re.fullmatch(r"\d{14}_[a-z0-9_]+\.sql", path.name) for path in Path(MIGRATIONS).glob("*.sql"))
