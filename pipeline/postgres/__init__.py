"""The embedded PostgreSQL, and what a database's connections are like."""
