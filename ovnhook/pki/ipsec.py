"""IPsec authentication between control hosts, as a script with ip(8). Pure.

Authentication Header (RFC 4302) in transport mode, for the ports of ovnhook.pki.fence only. Keys are derived from the
authority's key, which every control host has, so there is no IKE daemon. TLS inside provides confidentiality and replay
protection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ovnhook.pki import members
from ovnhook.pki.fence import NORTHBOUND_RAFT, PORTS, PROBE, REQID
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Address, Authority, plain_address

PRIORITY = 6643
"""Priority of our policies, which identifies them. It precedes other policies for whole hosts."""

_KEY, _SPI = 32, 4  # bytes
_RESERVED = 256  # SPIs up to 255 are (RFC 4302, section 2.4)


@dataclass(frozen=True)
class Peer:
    """Another control host, or several that were set up at one address one after another.

    Attributes:
        address: its address.
        members: its entries among the trusted clients.
        accepts: it accepts this host's authenticated packets.
        sends: it authenticates everything that it sends to this host; other packets are dropped.
        is_accepted: this host has announced that it accepts the peer's authenticated packets.
        is_verified: authenticated packets have passed between them; a firewall may drop them.
    """

    address: str
    members: tuple[Member, ...]
    accepts: bool
    sends: bool
    is_accepted: bool
    is_verified: bool

    @property
    def is_secured(self) -> bool:
        """True if this host must authenticate everything that it sends to the peer."""
        return self.accepts and self.is_verified

    @property
    def needs_probe(self) -> bool:
        """True if both sides are set up, but no authenticated packet is known to have passed."""
        return self.accepts and self.is_accepted and not self.is_verified


def peers(trusted: Members, own: Member, verified: Collection[str] = ()) -> list[Peer]:
    """Control hosts other than this one.

    Args:
        trusted: the trusted clients and hosts.
        own: this host.
        verified: addresses from which authenticated replies were received.
    """
    by_address: dict[str, list[Member]] = {}
    for one in trusted.all:
        if one.address and one.id != own.id and one.address != own.address:
            by_address.setdefault(one.address, []).append(one)
    return [
        Peer(
            address,
            tuple(known),
            accepts=all(trusted.accepts(one, own) for one in known),
            sends=all(trusted.sends(one, own) for one in known),
            is_accepted=all(trusted.accepts(own, one) for one in known),
            # An announcement is final, also after a restart of this host.
            is_verified=address in verified or all(trusted.sends(own, one) for one in known),
        )
        for address, known in by_address.items()
    ]


def announcements(own: Member, others: Iterable[Peer]) -> list[str]:
    """Keys of the entries that this host announces to its peers once their `script` is loaded."""
    return [
        entry(own, one)
        for other in others
        for entry in (members.accepts, *([members.sends] if other.is_secured else []))
        for one in other.members
    ]


def unauthenticated(trusted: Members) -> list[str]:
    """Names of control hosts that others identify by address only.

    Empty if no host authenticates: all run an earlier version, or are containers on a kernel without support.
    """
    hosts = [one for one in trusted.all if one.address] if trusted.announced else []
    late = (
        one.subject.name
        for one in hosts
        for other in hosts
        if one.address != other.address
        and not (trusted.accepts(one, other) and (trusted.sends(one, other) or not trusted.accepts(other, one)))
    )
    return sorted(set(late))


def script(authority: Authority, own: str, others: Iterable[Peer]) -> str:
    """Script for sh(1) that replaces our security associations and policies, and leaves others alone.

    There are security associations for every peer, so that its packets are accepted as soon as it authenticates them.

    Args:
        authority: source of the keys.
        own: address of this host.
        others: all other control hosts.

    Raises:
        ValueError: not an IP address, or one with a scope.
    """
    here = plain_address(own)
    found = sorted(
        (there, _selected(other)) for other in others if (there := plain_address(other.address)).version == here.version
    )
    lines = [
        "#!/bin/sh -e",
        "# Written by ovnhook-control, and run by ovnhook-fence.service.",
        # Test for kernel support of the match that the ruleset needs once this host has announced that it accepts AH.
        "nft -c -f - <<END",
        "table inet ovnhook {",
        "    chain input {",
        "        type filter hook input priority filter",
        f"        ipsec in reqid {REQID} accept",
        "    }",
        "}",
        "END",
        # Not in the batch: ip exits after either of them.
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
    """Port selectors of authenticated packets to a peer: all ports, or those of the probe."""
    if other.is_secured:
        return [f"{side}port {port}" for port in PORTS for side in ("s", "d")]
    own, its = f"sport {PROBE} dport {NORTHBOUND_RAFT}", f"sport {NORTHBOUND_RAFT} dport {PROBE}"
    return [own, its] if other.accepts else []


def _association(authority: Authority, source: Address, target: Address) -> str:
    """Security association of packets from one host to another.

    The key is static and sequence numbers restart at boot, so there is no replay window and the counter may wrap.
    """
    made = authority.derived(f"ovnhook AH {source} {target}".encode(), _KEY + _SPI)
    spi = int.from_bytes(made[_KEY:], "big") | _RESERVED
    return (
        f"xfrm state add src {source} dst {target} proto ah spi {spi:#x} reqid {REQID} mode transport replay-window 0 "
        f"auth-trunc hmac(sha256) 0x{made[:_KEY].hex()} 128 extra-flag oseq-may-wrap"
    )


def _policy(source: Address, target: Address, port: str) -> str:
    """Policy that packets from one host to another are authenticated, or dropped."""
    return (
        f"xfrm policy add src {source} dst {target} proto tcp {port} dir out priority {PRIORITY} "
        f"tmpl src {source} dst {target} proto ah reqid {REQID} mode transport level required"
    )
