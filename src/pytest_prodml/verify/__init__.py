"""Envelope bytes, trusted keys, a model, a policy and the time in; a report with an exit code out."""
