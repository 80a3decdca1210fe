"""One module per vendor: its requests, its answers, its errors, in its own shapes."""
