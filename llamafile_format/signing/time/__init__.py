"""Time stamps (spec/1.0, 13.6)."""
