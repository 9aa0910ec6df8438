"""Which addresses of machines belong to everybody: where a stranger may send us (spec/1, 10.13.3).

The table is our own, from the registries of special purposes: what Python calls global differs between its releases.
Of the newer protocol only what is given out at all is public, less what carries an older address inside: a translator
on the way would make that a private one.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Machine = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL = [
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this very network"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "the inside of a provider"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a service of the machine's host"),
        ("169.254.0.0/16", "the local link, with the services of the machine's host"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "protocols"),
        ("192.0.2.0/24", "documents"),
        ("192.88.99.0/24", "translators"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "measurements"),
        ("198.51.100.0/24", "documents"),
        ("203.0.113.0/24", "documents"),
        ("224.0.0.0/4", "groups of machines"),
        ("240.0.0.0/4", "nobody"),
        ("2001::/23", "protocols and tunnels"),
        ("2001:db8::/32", "documents"),
        ("2002::/16", "translators"),
        ("3fff::/20", "documents"),
    )
]
_GIVEN_OUT = ip_network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""Upper half of the lower half of an address that carries an older one."""


def special(machine: Machine) -> str:
    """What ``machine`` is for, in a few words; empty if it is one of everybody's."""
    if isinstance(machine, IPv6Address):
        if machine not in _GIVEN_OUT or machine.scope_id:
            return "no network that is given out"
        if (int(machine) >> 32) & 0xFFFFFFFF in _ISATAP:
            return "translators"
    return next((what for network, what in _SPECIAL if machine.version == network.version and machine in network), "")


def refusal(text: str, allowed: Iterable[Network] = ()) -> str:
    """Why nobody is sent to the machine ``text``, as a resolver wrote it; empty if it is public, or in ``allowed``."""
    try:
        machine = ip_address(text)
    except ValueError:
        return "no address of a machine"
    if any(machine.version == network.version and machine in network for network in allowed):
        return ""
    return special(machine)
