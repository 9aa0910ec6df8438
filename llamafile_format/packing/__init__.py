"""Making a container: pack, and what it needs."""
