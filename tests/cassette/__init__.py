"""Tests that replay recorded conversations. They import nothing of the simulator."""
