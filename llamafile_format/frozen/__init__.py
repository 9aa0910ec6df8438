"""Frozen containers (spec/1, chapter 18): byte planes in zstd frames, a table of blocks, an index in JSON."""
