"""What only control hosts may reach, as rules of nft(8). Pure.

An ovsdb-server trusts the same certificates at all of its ports. By those for the members of a cluster a node could
become one, and by northd's it could change what the roles of the southbound database keep from it.

Anybody on the network can take the address of a host that is off. So a control host is known by packets that are
authenticated (ovnhook.pki.ipsec); by its address only as long as it isn't known to send such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.pki.x509 import Address, plain_address

NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD = 6643, 6644, 16642
PORTS = (NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD)
"""The ports that are for control hosts alone."""

PROBE = 16643
"""The port from which a control host calls another one to see whether authenticated packets pass between them."""

REQID = 0x6F766E68
"""What marks packets that were authenticated with our keys, and the security associations that do so."""

TABLE = ("inet", "ovnhook")
"""The table of the rules; those of others are left alone."""


def rules(members: Iterable[str], plain: Iterable[str] = (), probed: Iterable[str] = ()) -> str:
    """The rules: a file for ``nft -f``, which may be read again.

    Args:
        members: the addresses of the other control hosts.
        plain: those of them that may not be able to authenticate what they send.
        probed: those of them whose answers are no answers unless they are authenticated, to what comes from `PROBE`.

    Raises:
        ValueError: one is no address, or has a scope.
    """
    ports, table, own = f"{{ {', '.join(map(str, PORTS))} }}", " ".join(TABLE), f"ipsec in reqid {REQID}"
    open_ = set(map(plain_address, plain))
    closed = set(map(plain_address, members)) - open_
    lines = [
        "iif lo accept",
        # Of IPv6 what is behind that header is looked at, too: what it authenticates comes by here again, without it.
        "ip6 nexthdr ah accept",
        # Only where it is needed: a kernel that doesn't know it refuses all of the rules.
        *([f"tcp dport {ports} {own} accept"] if closed else []),
        *(f"{source} tcp dport {ports} accept" for source in _sources(open_)),
        f"tcp dport {ports} drop",
    ]
    # What a control host answers, too: whom this host calls there has to be one.
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
    """Expressions that match packets from some addresses, one for each family."""
    found = sorted(addresses, key=lambda one: (one.version, one))
    for family, version in (("ip", 4), ("ip6", 6)):
        if own := [str(one) for one in found if one.version == version]:
            yield f"{family} saddr {{ {', '.join(own)} }}"
