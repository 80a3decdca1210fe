"""The seeded simulation: what will happen (plan), who does it (crew), how it goes (play), what must hold (checker)."""
