"""The outside world, simulated over real HTTP, with its own books. Imports nothing of the product."""
