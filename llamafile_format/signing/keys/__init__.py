"""Keys, and the algorithms that they sign with (spec/1, 13.8)."""
