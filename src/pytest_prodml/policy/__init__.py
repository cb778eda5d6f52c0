"""What a stage requires, and what follows from the evidence: policy.toml -> `Policy` -> `Decision`."""
