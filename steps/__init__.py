"""One module per step: each makes its decision and uses one outside resource."""
