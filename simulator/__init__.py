"""The outside world over real HTTP, with its own books. Imports nothing of the product."""
