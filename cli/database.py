"""`onetake db`: the schema of the ledger's database."""

import typer

from cli.exits import Exit

db = typer.Typer(help="The ledger's database: migrate it, see its migrations, print them.", no_args_is_help=True)


@db.command("migrate")
def migrate() -> None:
    """Apply the missing migrations. Running it again changes nothing."""
    from cli.desks import database_words, ledger_name, open_database
    from pipeline import migrate as migrations
    from pipeline.config import load_settings

    settings = load_settings()
    name = ledger_name(settings)
    with open_database(settings) as dsn, database_words(name):
        applied = migrations.migrate(dsn)
        queue = migrations.install_queue(dsn)
    for version in applied:
        typer.echo(f"applied {version}")
    if queue:
        typer.echo("installed the queue")
    typer.echo(f"{name} is up to date")


@db.command("status")
def status() -> None:
    """Which migrations are applied. Exit 1 if one is missing."""
    from cli.desks import database_words, ledger_name, open_database, open_rest, over_rest, status_over_rest
    from cli.exits import run_async
    from pipeline import migrate as migrations
    from pipeline.config import load_settings

    settings = load_settings()
    name = ledger_name(settings)

    async def ask() -> list[migrations.MigrationStatus]:
        async with open_rest(settings) as rpc:
            return await status_over_rest(rpc)

    if over_rest(settings):
        found = run_async(ask())
    else:
        with open_database(settings, reads=True) as dsn, database_words(name):
            found = migrations.status(dsn)
    for each in found:
        typer.echo(f"{'applied' if each.applied else 'missing':<8} {each.version} {each.name}")
    missing = sum(not each.applied for each in found)
    typer.echo(f"{name}: {missing or 'nothing'} missing" + (" - run `onetake db migrate`" if missing else ""))
    raise typer.Exit(Exit.ENDED_OTHERWISE if missing else Exit.DONE)


@db.command("sql")
def sql() -> None:
    """All migrations as one script, for a web SQL editor."""
    from pipeline.migrate import sql_for_pasting

    typer.echo(sql_for_pasting())
