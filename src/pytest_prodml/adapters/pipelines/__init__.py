"""A pipeline of the project -> runs of it in fresh processes, stage by stage, with digests and faults."""
