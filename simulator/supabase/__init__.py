"""A simulated Supabase project: its gateway in front of a real PostgREST, and a Storage kept in memory."""
