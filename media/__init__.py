"""Media files read by their own structure: a whole clip or not. Pure but for the file."""
