"""Claims about a served model: under load, beyond it, after faults, and for requests that make no sense."""
