"""Signature records: bundles, envelopes, statements (spec/1, 13.2 and 13.3)."""
