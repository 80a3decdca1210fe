"""The ledger in the database: its client, its two transports, typed records, migrations."""
