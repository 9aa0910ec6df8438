"""Words about registries that several commands share."""

from __future__ import annotations

PLAIN_HTTP = "Ask by http, which others can read and change; no credentials are sent. Not needed for this machine."
CA_FILE = "Trust these certificates of hosts, instead of the system's."
