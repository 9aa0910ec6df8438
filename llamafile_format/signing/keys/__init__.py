"""Keys, and the algorithms that they sign with (spec/1.0, 13.8)."""
