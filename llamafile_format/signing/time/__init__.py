"""Time stamps (spec/1, 13.6)."""
