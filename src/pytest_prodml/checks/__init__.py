"""From data and models to `Evidence`: functions that need no pytest, one module a dimension."""
