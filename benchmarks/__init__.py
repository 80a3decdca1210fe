"""The figures we promise. Ratios and rates measured in one run on one machine; never part of the test suite."""
