"""The manifest, its canonical JSON, layout, chunk list and digests (spec/1, chapters 5 and 6)."""
