"""Write the keys and certificates that the example policies name: public halves of keys that everybody can compute.

python examples/policies/material.py

The private halves follow from the names below, so that tests can sign as these people would. They vouch for nothing:
copy the policies, and put your own keys in their place.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402
from cryptography.x509 import RFC822Name  # noqa: E402

from spec.vectors.generate.signatures_certificates import CODE, STAMPING, Certificate  # noqa: E402
from spec.vectors.generate.signatures_keys import Key, private  # noqa: E402
from spec.vectors.generate.trust import sigstore_root  # noqa: E402

ALICE = (Key("p384", "example alice"), Key("ml-dsa-65", "example alice"))
BORIS = (Key("ed25519", "example boris"), Key("ml-dsa-65", "example boris"))
ME = (Key("ed25519", "example me"),)
FRIEND = (Key("p256", "example friend"),)
LEAKED = (Key("p256", "example leaked"),)
STRANGER = (Key("p384", "example stranger"),)

CLOCK_ROOT = Certificate(Key("p384", "example clock root"), "Example Time Root", 1)
CLOCK = Certificate(Key("p256", "example clock"), "Example Time Stamps", 2, CLOCK_ROOT, STAMPING)
HUB_ROOT = Certificate(Key("p384", "example hub root"), "Example Hub Root", 1)
HUB = Certificate(Key("p256", "example hub"), "Releases", 2, HUB_ROOT, CODE, (RFC822Name("releases@hub.example"),))
IDENTITIES = Certificate(Key("p384", "example identities"), "Example Identities", 1)


def pem(*keys: Key) -> str:
    """Public keys as keygen writes them."""
    return "".join(key.pem for key in keys)


def ssh(key: Key, comment: str) -> str:
    """A public key as ssh-keygen writes it."""
    line = private(key).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {comment}\n"


def trusted_root() -> str:
    """The trusted root of a Sigstore instance that nobody runs."""
    return sigstore_root(Key("p256", "example log"), IDENTITIES, "example", "identities.example")


def files() -> dict[str, str]:
    """What the policies name, by path."""
    return {
        "keys/alice.pub": pem(*ALICE),
        "keys/boris.pub": pem(*BORIS),
        "keys/friend.pub": ssh(FRIEND[0], "friend@example.org"),
        "keys/leaked.pub": pem(*LEAKED),
        "roots/clock.pem": CLOCK_ROOT.pem,
        "roots/hub.pem": HUB_ROOT.pem,
        "roots/sigstore.json": trusted_root(),
    }


if __name__ == "__main__":
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path.relative_to(FOLDER))
    print(f"personal.yaml, public_key of me:\n{pem(*ME)}", end="")
    print(f"hub.yaml, key_id of the leaked key: {LEAKED[0].id}")
