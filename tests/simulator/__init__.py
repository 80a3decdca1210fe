"""The simulator's own tests: its routes, books, faults and clips, over real HTTP."""
