"""Who vouches for a container: keys, envelopes, statements, time stamps, policies (spec/1, chapters 13 and 16)."""
