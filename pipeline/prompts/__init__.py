"""The two text-model steps of a run, and which version of a prompt each one used."""
