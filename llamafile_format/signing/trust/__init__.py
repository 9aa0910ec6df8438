"""Whom to trust: policies and their judgement (spec/1, 13.4 and chapter 16)."""
