"""A Supabase project: its gateway in front of a real PostgREST, and a Storage with a memory of its own."""
