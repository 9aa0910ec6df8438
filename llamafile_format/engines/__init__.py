"""Pinned engines: what they are made of, where their builds lie, how to build them again (spec/1, chapter 14)."""
