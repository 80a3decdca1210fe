"""What official clients do with a create whose answer is lost: `python -m benchmarks.sdks`."""
