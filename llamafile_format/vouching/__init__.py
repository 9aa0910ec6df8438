"""Vouching for a container: sign, time stamps, renewal, attestations."""
