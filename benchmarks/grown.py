"""A large ledger: a hundred thousand runs and a million events over ninety days. Nothing is bought here."""

from pathlib import Path

import psycopg

RUNS = 100_000
EVENTS_PER_RUN = 10
DAYS = 90
SQL = Path(__file__).with_suffix(".sql")


def grow(dsn: str, runs: int = RUNS, events_per_run: int = EVENTS_PER_RUN) -> None:
    """Fill an empty, migrated ledger, and gather the statistics that autovacuum would."""
    sizes = {"runs": runs, "events": events_per_run, "days": DAYS}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in SQL.read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), sizes)
