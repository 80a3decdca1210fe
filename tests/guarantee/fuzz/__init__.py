"""The seeded simulation: what will happen (plan), the processes (crew), one seed (play), what must hold (checker)."""
