"""nftables rules (nft(8)) for the control hosts' cluster ports. Pure.

An ovsdb-server trusts the same certificates on all of its ports. Through the RAFT ports a node could join the cluster,
and through northd's port it could bypass the southbound database's RBAC.

Addresses can be spoofed while a host is off. A control host is therefore identified by authenticated packets
(ovnhook.pki.ipsec), and by its address only until it has announced that it sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.pki.x509 import Address, plain_address

NORTHBOUND, NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD = 6641, 6643, 6644, 16642
PORTS = (NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD)
"""Ports reserved for control hosts. Nodes have certificates that the servers accept there."""

PROBE = 16643
"""Source port of probes that test whether authenticated packets pass between two control hosts."""

REQID = 0x6F766E68
"""IPsec request ID of our security associations, which nftables matches."""

TABLE = ("inet", "ovnhook")
"""nftables table of the rules; other tables are left alone."""


def rules(
    members: Iterable[str], plain: Iterable[str] = (), probed: Iterable[str] = (), *, is_closed: bool = False
) -> str:
    """Ruleset for ``nft -f``. Loading it is idempotent.

    Args:
        members: addresses of the other control hosts.
        plain: those of them whose packets may be unauthenticated.
        probed: those of them whose replies to `PROBE` must be authenticated.
        is_closed: `NORTHBOUND` is for control hosts only. The server accepts no other certificate there, so their
            addresses are enough: the rule saves it handshakes with others.

    Raises:
        ValueError: not an IP address, or one with a scope.
    """
    ports, table, own = f"{{ {', '.join(map(str, PORTS))} }}", " ".join(TABLE), f"ipsec in reqid {REQID}"
    open_ = set(map(plain_address, plain))
    closed = set(map(plain_address, members)) - open_
    lines = [
        "iif lo accept",
        # IPv6 rules also match the payload behind an AH header; once authenticated it passes here again, without AH.
        "ip6 nexthdr ah accept",
        # Only if needed: a kernel without support rejects the whole ruleset.
        *([f"tcp dport {ports} {own} accept"] if closed else []),
        *(f"{source} tcp dport {ports} accept" for source in _sources(open_)),
        f"tcp dport {ports} drop",
    ]
    if is_closed:
        lines += [f"{source} tcp dport {NORTHBOUND} accept" for source in _sources(open_ | closed)]
        lines.append(f"tcp dport {NORTHBOUND} drop")
    # Replies as well: this host must not connect to anything but a control host there.
    for source in _sources(closed):
        lines += [f"{source} tcp sport {ports} {own} accept", f"{source} tcp sport {ports} drop"]
    for source in _sources(open_ & set(map(plain_address, probed))):
        answer = f"{source} tcp sport {NORTHBOUND_RAFT} tcp dport {PROBE}"
        lines += [f"{answer} {own} accept", f"{answer} drop"]
    inside = "\n".join(f"        {line}" for line in lines)
    return f"""# Written by ovnhook-control, and read by ovnhook-fence.service.
table {table}
delete table {table}
table {table} {{
    chain input {{
        type filter hook input priority filter
{inside}
    }}
}}
"""


def _sources(addresses: Iterable[Address]) -> Iterator[str]:
    """Source address matches, one per address family."""
    found = sorted(addresses, key=lambda one: (one.version, one))
    for family, version in (("ip", 4), ("ip6", 6)):
        if own := [str(one) for one in found if one.version == version]:
            yield f"{family} saddr {{ {', '.join(own)} }}"
