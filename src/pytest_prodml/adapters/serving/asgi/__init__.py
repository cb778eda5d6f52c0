"""Programs that run in the process of a server."""
