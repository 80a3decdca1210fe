"""Video providers: their protocols as pure functions, one shared transport, and the catalogue of what can be bought."""
