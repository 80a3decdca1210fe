"""LiteLLM's adapters to the same vendors: somebody else's reading of their protocols."""
