"""nftables rules (nft(8)) of a gateway host: masquerading, and no more forwarding than that needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ovnhook.resources.router.hostlink import BRIDGE

TABLE = ("inet", "ovnhook_gateway")
"""nftables table of the rules; other tables are left alone."""

_NAME = re.compile(r"[\w.@+-]{1,15}")  # of an interface that nft(8) takes literally


@dataclass(frozen=True)
class Forwarding:
    """Packets that a gateway host forwards.

    Attributes:
        uplinks: interfaces of its default routes. Guests reach what is behind them.
        guarded: interfaces that forward IPv4 only because of guests: for nothing else.
        guards_ipv6: the host forwards IPv6 only because of guests.
    """

    uplinks: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    guards_ipv6: bool = False


def rules(forwarding: Forwarding) -> str:
    """Ruleset for ``nft -f``. Loading it is idempotent."""
    table = " ".join(TABLE)
    # A packet without connection tracking would leave with its guest's address.
    lines = [f'iifname "{BRIDGE}" ct state invalid drop']
    if uplinks := _names(forwarding.uplinks):
        lines.append(f'iifname "{BRIDGE}" oifname {uplinks} accept')
    lines += [
        f'oifname "{BRIDGE}" ct state established,related accept',
        f'iifname "{BRIDGE}" reject with icmpx admin-prohibited',
        f'oifname "{BRIDGE}" drop',
    ]
    if guarded := _names(forwarding.guarded):
        lines.append(f"meta nfproto ipv4 iifname {guarded} drop")
    if forwarding.guards_ipv6:
        lines.append("meta nfproto ipv6 drop")
    inside = "\n".join(f"        {line}" for line in lines)
    return f"""table {table}
delete table {table}
table {table} {{
    chain forward {{
        type filter hook forward priority filter
{inside}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        iifname "{BRIDGE}" oifname != "{BRIDGE}" masquerade
    }}
}}
"""


def _names(interfaces: Iterable[str]) -> str:
    """Set of interface names, or "" if it is empty."""
    names = ", ".join(f'"{name}"' for name in sorted(interfaces) if _NAME.fullmatch(name))
    return f"{{ {names} }}" if names else ""
