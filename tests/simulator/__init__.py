"""The judge on trial: the simulator's doors, books, faults and clips, over real HTTP."""
