"""The embedded PostgreSQL, and whether a database's connections keep their sessions."""
