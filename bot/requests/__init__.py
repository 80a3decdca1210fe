"""From a message or a button to a run."""
