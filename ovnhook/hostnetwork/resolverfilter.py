"""nftables rules of the DNS servers' network namespaces, and of the host towards them. Pure.

In a namespace only DNS passes, between guests of each subnet and the server, and between the server and the relay.
"""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import IPAddress, IPNetwork

from ovnhook.hostnetwork.dnsconfig import RELAY_PORT
from ovnhook.hostnetwork.namescope import UPSTREAM_PREFIX, NameScope, ResolverInterface

UPSTREAM = "upstream"
"""Name of a namespace's interface to the host."""

LINKS = IPNetwork("169.254.64.0/18")
"""Link-local addresses (RFC 3927) of the relay and of these interfaces, two for each namespace."""

TABLE = "inet ovnhook_names"
"""Name of the table, in each namespace and on the host."""

_DNS = "meta l4proto { tcp, udp } th"


def namespace_rules(scope: NameScope, relay: IPAddress) -> str:
    """Ruleset of a scope's namespace, for ``nft -f``. Loading it is idempotent.

    Args:
        scope: the scope.
        relay: address of the relay.
    """
    received = [
        f'iifname "{UPSTREAM}" ip saddr {relay} {_DNS} sport {RELAY_PORT} accept',
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, packet-too-big } accept",
        "icmp type destination-unreachable accept",
    ]
    sent = [
        f'oifname "{UPSTREAM}" ip daddr {relay} {_DNS} dport {RELAY_PORT} accept',
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        "icmp type echo-reply accept",
        "icmpv6 type echo-reply accept",
    ]
    for interface in scope.interfaces:
        received += _from_guests(interface)
        sent.append(f'oifname "{interface.device}" {_DNS} sport 53 accept')
    chains = {"input": received, "forward": [], "output": sent}
    return _table({name: (*rules, "drop") for name, rules in chains.items()})


def host_rules() -> str:
    """Ruleset of the host, for ``nft -f``: the relay is for the namespaces only, and they reach nothing else."""
    ours = f'iifname "{UPSTREAM_PREFIX}*"'
    return _table(
        {
            "input": (
                f'iifname != "{UPSTREAM_PREFIX}*" ip daddr {LINKS} {_DNS} dport {RELAY_PORT} drop',
                f"{ours} {_DNS} dport != {RELAY_PORT} drop",
                f"{ours} meta l4proto != {{ tcp, udp }} drop",
            ),
            "forward": (f"{ours} drop", f'oifname "{UPSTREAM_PREFIX}*" drop'),
        }
    )


def no_rules() -> str:
    """Removal of the rules, for ``nft -f``. Idempotent."""
    return f"table {TABLE}\ndelete table {TABLE}\n"


def _from_guests(interface: ResolverInterface) -> Iterator[str]:
    """Rules that accept what guests of a subnet may send to the server. Others can send nothing."""
    for network in interface.networks:
        family, icmp = ("ip", "icmp") if network.version == 4 else ("ip6", "icmpv6")
        source = f'iifname "{interface.device}" {family} saddr {network}'
        yield f"{source} {_DNS} dport 53 accept"
        yield f"{source} {icmp} type echo-request accept"


def _table(chains: dict[str, tuple[str, ...]]) -> str:
    """Table with a base chain for each hook."""
    inside = "".join(
        f"    chain {hook} {{\n        type filter hook {hook} priority filter\n"
        + "".join(f"        {rule}\n" for rule in rules)
        + "    }\n"
        for hook, rules in chains.items()
    )
    return f"{no_rules()}table {TABLE} {{\n{inside}}}\n"
