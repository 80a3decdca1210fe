"""`onetake db`: the schema of the ledger's database."""

import typer

from app.exits import Exit

db = typer.Typer(help="Migrate the ledger's database, or print its migrations.", no_args_is_help=True)


@db.command("migrate")
def migrate() -> None:
    """Apply the missing migrations. Running it again changes nothing."""
    from app.ledger_session import database_words, ledger_name, open_database
    from pipeline.ledger import migrate as migrations
    from pipeline.settings.config import load_settings

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
    """Which migrations are applied, and whether the queue exists. Exit 1 if anything is missing."""
    from app.exits import run_async
    from app.ledger_session import (
        OLD_CACHE,
        database_words,
        ledger_name,
        open_database,
        open_rest,
        over_rest,
        status_over_rest,
    )
    from pipeline.ledger import migrate as migrations
    from pipeline.settings.config import load_settings

    settings = load_settings()
    name = ledger_name(settings)

    async def ask() -> list[migrations.MigrationStatus]:
        async with open_rest(settings) as rpc:
            return await status_over_rest(rpc)

    if over_rest(settings):
        found, queue = run_async(ask()), True  # the queue is embedded, and installed when opened
    else:
        with open_database(settings, reads=True) as dsn, database_words(name):
            found, queue = migrations.status(dsn), migrations.queue_is_there(dsn)
    for each in found:
        typer.echo(f"{'applied' if each.applied else 'missing':<8} {each.version} {each.name}")
    if not queue:
        typer.echo("missing  the queue")
    missing = sum(not each.applied for each in found) + (not queue)
    advice = f" - run `onetake db migrate`{OLD_CACHE if over_rest(settings) else ''}" if missing else ""
    typer.echo(f"{name}: {missing or 'nothing'} missing{advice}")
    raise typer.Exit(Exit.ENDED_OTHERWISE if missing else Exit.DONE)


@db.command("sql")
def sql() -> None:
    """All migrations as one script, for a web SQL editor."""
    from pipeline.ledger.migrate import sql_for_pasting

    typer.echo(sql_for_pasting())
