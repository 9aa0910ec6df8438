"""How outputs reach the disk: written beside, synced, renamed; copied with their digests."""
