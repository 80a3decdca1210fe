"""The two transports to the ledger: psycopg to any PostgreSQL, and Supabase's REST. Same answers, same errors."""
