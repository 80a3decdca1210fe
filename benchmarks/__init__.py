"""The figures we promise: ratios and rates, measured in one run on one machine. Never part of the test suite."""
