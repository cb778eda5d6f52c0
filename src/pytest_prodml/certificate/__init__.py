"""From a decision to a signed document: digests, in-toto statements, DSSE envelopes, signers."""
