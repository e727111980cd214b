"""Packets between control hosts that nobody else can make, by a script with ip(8). Pure.

The Authentication Header (RFC 4302) in transport mode, for the ports of ovnhook.pki.fence alone, with keys that are
derived from the authority's: every control host has that one, so no daemon has to agree on any. What the packets say is
kept secret, and kept from being sent again, by TLS inside of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ovnhook.pki import members
from ovnhook.pki.fence import NORTHBOUND_RAFT, PORTS, PROBE, REQID
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Address, Authority, plain_address

PRIORITY = 6643
"""Of our policies, by which they are known. Before those that others have for whole hosts, so that these stay so."""

_KEY, _SPI = 32, 4  # bytes
_RESERVED = 256  # SPIs up to 255 are (RFC 4302, section 2.4)


@dataclass(frozen=True)
class Peer:
    """Another control host, or several that were set up at one address one after another.

    Attributes:
        address: that it is reached at.
        known: what is known of it.
        accepts: whether it accepts what this host authenticates.
        sends: whether it authenticates all that it sends to this host, which may accept nothing else.
        is_accepted: whether this host has said that it accepts what the other one authenticates.
        passes: whether authenticated packets pass between them: a firewall may drop them.
    """

    address: str
    known: tuple[Member, ...]
    accepts: bool
    sends: bool
    is_accepted: bool
    passes: bool

    @property
    def is_secured(self) -> bool:
        """Whether this host may send it nothing that is not authenticated."""
        return self.accepts and self.passes

    @property
    def is_probed(self) -> bool:
        """Whether all is there to see that authenticated packets pass, and nobody has."""
        return self.accepts and self.is_accepted and not self.passes


def peers(found: Members, own: Member, passes: Collection[str] = ()) -> list[Peer]:
    """The other control hosts.

    Args:
        found: all who are let in.
        own: this host.
        passes: addresses of those from which authenticated answers have come.
    """
    by_address: dict[str, list[Member]] = {}
    for one in found.found:
        if one.address and one.mark != own.mark and one.address != own.address:
            by_address.setdefault(one.address, []).append(one)
    return [
        Peer(
            address,
            tuple(known),
            accepts=all(found.accepts(one, own) for one in known),
            sends=all(found.sends(one, own) for one in known),
            is_accepted=all(found.accepts(own, one) for one in known),
            # What was said once holds, also after this host has begun anew.
            passes=address in passes or all(found.sends(own, one) for one in known),
        )
        for address, known in by_address.items()
    ]


def says(own: Member, others: Iterable[Peer]) -> list[str]:
    """What this host tells the others, as keys of entries, once `script` of them is loaded."""
    return [
        entry(own, one)
        for other in others
        for entry in (members.accepts, *([members.sends] if other.is_secured else []))
        for one in other.known
    ]


def unauthenticated(found: Members) -> list[str]:
    """The names of control hosts that the others know by their addresses alone.

    None where no host authenticates anything: there all are of an earlier version, or in containers on a kernel that
    can't.
    """
    hosts = [one for one in found.found if one.address] if found.said else []
    late = (
        one.subject.name
        for one in hosts
        for other in hosts
        if one.address != other.address
        and not (found.accepts(one, other) and (found.sends(one, other) or not found.accepts(other, one)))
    )
    return sorted(set(late))


def script(authority: Authority, own: str, others: Iterable[Peer]) -> str:
    """What sh(1) is to run: it takes away what it set before, and leaves alone what is of others.

    The security associations are there for every peer: what it sends is accepted from the moment when it begins.

    Args:
        authority: whose key they are derived from.
        own: the address of this host.
        others: all other control hosts.

    Raises:
        ValueError: one is no address, or has a scope.
    """
    here = plain_address(own)
    found = sorted(
        (there, _selected(other)) for other in others if (there := plain_address(other.address)).version == here.version
    )
    lines = [
        "#!/bin/sh -e",
        "# Written by ovnhook-control, and run by ovnhook-fence.service.",
        # What the rules will ask for once others have heard that this host accepts what is authenticated.
        "nft -c -f - <<END",
        "table inet ovnhook {",
        "    chain input {",
        "        type filter hook input priority filter",
        f"        ipsec in reqid {REQID} accept",
        "    }",
        "}",
        "END",
        # Not among those of the batch: ip exits after either of them.
        f"ip xfrm policy deleteall dir out priority {PRIORITY}",
        f"ip xfrm state deleteall reqid {REQID}",
        "ip -batch - <<END",
    ]
    for there, _ in found:
        lines += [_association(authority, here, there), _association(authority, there, here)]
    for there, ports in found:
        lines += [_policy(here, there, one) for one in ports]
    return "\n".join([*lines, "END", ""])


def _selected(other: Peer) -> list[str]:
    """The ports whose packets to another host are authenticated: all, or those by which is seen that they pass."""
    if other.is_secured:
        return [f"{side}port {port}" for port in PORTS for side in ("s", "d")]
    own, its = f"sport {PROBE} dport {NORTHBOUND_RAFT}", f"sport {NORTHBOUND_RAFT} dport {PROBE}"
    return [own, its] if other.accepts else []


def _association(authority: Authority, source: Address, target: Address) -> str:
    """The security association of what one host sends to another one.

    A key that stays begins with the same sequence numbers after each boot, and goes on after the last one: so they are
    neither looked at nor do they end.
    """
    made = authority.derived(f"ovnhook AH {source} {target}".encode(), _KEY + _SPI)
    spi = int.from_bytes(made[_KEY:], "big") | _RESERVED
    return (
        f"xfrm state add src {source} dst {target} proto ah spi {spi:#x} reqid {REQID} mode transport replay-window 0 "
        f"auth-trunc hmac(sha256) 0x{made[:_KEY].hex()} 128 extra-flag oseq-may-wrap"
    )


def _policy(source: Address, target: Address, port: str) -> str:
    """The policy that what one host sends to another one is authenticated, or not sent."""
    return (
        f"xfrm policy add src {source} dst {target} proto tcp {port} dir out priority {PRIORITY} "
        f"tmpl src {source} dst {target} proto ah reqid {REQID} mode transport level required"
    )
