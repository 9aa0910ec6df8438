"""Changing a container: repack, convert, recover, legacy both ways."""
