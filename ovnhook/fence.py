"""What only control hosts may reach, as rules of nft(8). Pure.

An ovsdb-server trusts the same certificates at all of its ports. By those for the members of a cluster a node could
become one, and by northd's it could change what the roles of the southbound database keep from it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ovnhook.pki import plain_address

NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD = 6643, 6644, 16642
PORTS = (NORTHBOUND_RAFT, SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD)
"""The ports that are for control hosts alone."""

TABLE = ("inet", "ovnhook")
"""The table of the rules; those of others are left alone."""


def rules(members: Iterable[str]) -> str:
    """The rules: a file for ``nft -f``, which may be read again.

    Args:
        members: the addresses of the control hosts.

    Raises:
        ValueError: one is no address, or has a scope.
    """
    ports, table = ", ".join(map(str, PORTS)), " ".join(TABLE)
    found = sorted(map(plain_address, members), key=lambda one: (one.version, one))
    allowed = [
        f"tcp dport {{ {ports} }} {family} saddr {{ {', '.join(own)} }} accept"
        for family, version in (("ip", 4), ("ip6", 6))
        if (own := [str(one) for one in found if one.version == version])
    ]
    inside = "\n".join(f"        {line}" for line in ("iif lo accept", *allowed, f"tcp dport {{ {ports} }} drop"))
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
