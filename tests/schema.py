"""`make migration NAME=...`: writes the next migration from the changes in `supabase/schemas/`.

`supabase/schemas/*.sql` is the current schema; `supabase/migrations/*.sql` is how a database gets there. A changed or
new function becomes `create or replace`, a removed one `drop function`. Changes of tables, indexes, triggers and rows
are written by hand into the new file; the missing ones are printed, and
`tests/ledger/schema/test_schema.py` fails until both folders produce the same database.

In       NAME: the words of the file's name, [a-z0-9_]
Out      the path of the new file, and what it lacks; exit 1 if nothing changed
Effects  one file in supabase/migrations; two databases on its own PostgreSQL, in a temporary folder
"""

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "supabase" / "schemas"
MIGRATIONS = ROOT / "supabase" / "migrations"
NAME = re.compile(r"[a-z0-9_]+")
# A function with the comment above it. All have this form: tests/ledger/schema/test_schema.py counts them.
FUNCTION = re.compile(r"(?:^--[^\n]*\n)*^create function ([\w.]+)\(.*?^(?:end )?\$\$;$", re.MULTILINE | re.DOTALL)
HISTORY = "create schema supabase_migrations; create table supabase_migrations.schema_migrations (version text)"
# Everything the files create, as the catalog describes it, without object ids and column order.
CATALOGUE = """
    select 'function' as kind, p.oid::regprocedure::text as name,
        concat_ws(E'\\n', pg_get_functiondef(p.oid), p.proacl::text, p.proowner::regrole) as described
        from pg_proc p where p.pronamespace in ('public'::regnamespace, 'onetake'::regnamespace)
    union all
    select 'column', a.attrelid::regclass::text || '.' || a.attname,
        concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where c.relnamespace = 'onetake'::regnamespace
    union all
    select 'table', c.oid::regclass::text, concat_ws(' ', c.relkind, c.relrowsecurity, c.relacl, c.relowner::regrole)
        from pg_class c where c.relnamespace = 'onetake'::regnamespace and c.relkind = 'r'
    union all
    select 'constraint', conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'onetake'::regnamespace
    union all
    select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
        from pg_index where indrelid::regclass::text like 'onetake.%'
    union all
    select 'trigger', tgrelid::regclass::text || ' ' || tgname, pg_get_triggerdef(oid)
        from pg_trigger where not tgisinternal
    order by 1, 2
"""
SEEDED = ("moves", "limits", "control", "breakers", "counted")

Catalogue = Mapping[tuple[str, str], str]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


def texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in files(folder)]


def squash(root: Path) -> None:
    """Make a checkout's migrations create its current schemas, so that an edit there is in every new database."""
    first, *later = files(root / "supabase" / "migrations")
    first.write_text("\n".join(texts(root / "supabase" / "schemas")), encoding="utf-8")
    for file in later:
        file.write_text("select;\n", encoding="utf-8")


def build(dsn: str, scripts: Iterable[str]) -> Catalogue:
    """Run the scripts in an empty database. Raises psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(HISTORY)
        for script in scripts:
            connection.execute(script.encode())
    return catalogue(dsn)


def catalogue(dsn: str) -> Catalogue:
    with psycopg.connect(dsn) as connection:
        found = {(kind, name): described for kind, name, described in connection.execute(CATALOGUE.encode())}
        for table in SEEDED:
            rows = connection.execute(f"select to_jsonb(t)::text from onetake.{table} t order by 1".encode())
            found |= {("row", f"{table} {row}"): row for (row,) in rows}
        return found


def differences(made: Catalogue, wanted: Catalogue) -> list[tuple[str, str]]:
    """What is missing, extra or different in the made database: kinds and names."""
    return sorted(key for key in made.keys() | wanted.keys() if made.get(key) != wanted.get(key))


def functions(scripts: Iterable[str]) -> dict[str, str]:
    """Each function's text with its comment, by its qualified name."""
    return {found[1]: found[0] for script in scripts for found in FUNCTION.finditer(script)}


def next_migration(made: Catalogue, wanted: Catalogue, scripts: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """The functions' part of the next migration, and the changes to add by hand."""
    different = differences(made, wanted)
    signatures = [
        name if "." in name.partition("(")[0] else f"public.{name}" for kind, name in different if kind == "function"
    ]
    known = {name if "." in name.partition("(")[0] else f"public.{name}" for kind, name in wanted if kind == "function"}
    changed = {name.partition("(")[0] for name in signatures if name in known}
    parts = [
        f"drop function {name};\n"
        for name in signatures
        if name not in known or _is_called_otherwise(name, made, wanted)
    ]
    for name, text in functions(scripts).items():  # in file order: a function may need an earlier one
        if name in changed:
            parts.append(
                re.sub(r"^create function", "create or replace function", text, count=1, flags=re.MULTILINE) + "\n"
            )
    if parts:
        callable_now = sorted(f"'{name.partition('.')[2]}'" for name in changed if name.startswith("public."))
        parts.append(f"select onetake.restrict(array[{', '.join(callable_now)}]::text[]);\n")
    return "\n".join(parts), [key for key in different if key[0] != "function"]


def _is_called_otherwise(name: str, made: Catalogue, wanted: Catalogue) -> bool:
    """Whether the arguments' names or the result changed: PostgreSQL refuses to replace such a function."""
    key = ("function", name.removeprefix("public."))
    before, after = (each.get(key, "").partition("\n LANGUAGE")[0] for each in (made, wanted))
    return bool(before) and before != after


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not NAME.fullmatch(arguments[0]):
        print("make migration NAME=words_of_the_change: letters, digits and _ only")
        return 2
    from pipeline.postgres.embedded import open_server

    with tempfile.TemporaryDirectory(prefix="onetake-migration-") as home, open_server(Path(home)) as dsn:
        made, wanted = (_database(dsn, folder) for folder in (MIGRATIONS, SCHEMAS))
    text, by_hand = next_migration(made, wanted, texts(SCHEMAS))
    if not text and not by_hand:
        print("nothing changed: supabase/schemas and supabase/migrations make the same database")
        return 1
    file = MIGRATIONS / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{arguments[0]}.sql"
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file.relative_to(ROOT)}")
    for kind, name in by_hand:
        print(f"add by hand: {kind} {name}")
    return 0


def _database(dsn: str, folder: Path) -> Catalogue:
    name = folder.name
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return build(psycopg.conninfo.make_conninfo(dsn, dbname=name), texts(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
