"""One module per step: each decides, and touches one thing."""
