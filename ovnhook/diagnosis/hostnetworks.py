"""Subnets that are networks of a gateway host, too. Pure.

A host through which a router reaches the outside has routes to the router's subnets. One that overlaps with a network
of the host would take that away from it, or the guests would not reach what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netaddr import IPNetwork

from ovnhook.base.errors import FailedPrecondition
from ovnhook.resources import ip
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.kind import NETWORK
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.values import Subnet


def routed(changes: Sequence[Change]) -> tuple[tuple[Router, Subnet], ...]:
    """Subnets that hosts get routes to by changes, with their routers."""
    found: list[tuple[Router, Subnet]] = []
    for one in puts(NETWORK, changes):
        before = {(subnet.name, *subnet.gateways) for subnet in _subnets(one.old)}
        new = (subnet for subnet in _subnets(one.new) if (subnet.name, *subnet.gateways) not in before)
        found += [(one.new.router, subnet) for subnet in new if one.new]
    return tuple(found)


def refuse(some: Iterable[tuple[Router, Subnet]], nodes: Sequence[Node]) -> None:
    """Refuse subnets that overlap with a network of a host that is a gateway of their router.

    Raises:
        FailedPrecondition: names the subnet, the host and its network.
    """
    for router, subnet in some:
        for node in router_rules.eligible_hosts(router, nodes):
            if pair := ip.overlap(subnet.gateways, [*map(IPNetwork, node.networks)]):
                raise FailedPrecondition(
                    f"network {pair[0]} of subnet {subnet.name} overlaps with network {pair[1]} of host {node.name},"
                    f" through which router {router.name} reaches the outside",
                    "choose another network for the subnet",
                )


def _subnets(network: Network | None) -> Iterator[Subnet]:
    """Subnets of a router that reaches the outside through its hosts."""
    if network and network.router.external and network.router.external.is_host:
        yield from network.subnets
