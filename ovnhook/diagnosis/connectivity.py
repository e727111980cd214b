"""Interruptions of external connectivity by changes of routers, subnets and gateway hosts. Pure.

A change that interrupts working external connectivity of guests is refused unless it is forced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ovnhook.base.errors import FailedPrecondition
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.kind import NETWORK
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud

_FORCE = "to do it anyway: --force"


@dataclass(frozen=True)
class GatewayUse:
    """Present use of external gateways.

    Attributes:
        nodes: all hosts.
        active: active gateway by router.
        guests: number of ports by subnet.
        users: title, router and subnet of each other resource that uses an external gateway.
    """

    nodes: Sequence[Node]
    active: Mapping[str, str]
    guests: Mapping[str, int]
    users: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Interruption:
    """A possible interruption of external connectivity.

    Attributes:
        router: the router before the change, with an external gateway.
        then: router of the subnets after the change, or None.
        subnets: names of the affected subnets.
        why: the reason, for messages.
    """

    router: Router
    then: Router | None
    subnets: tuple[str, ...]
    why: str


def interruptions(changes: Sequence[Change]) -> tuple[Interruption, ...]:
    """Possible interruptions by changes, regardless of the present use."""
    networks = list(puts(NETWORK, changes))
    joined = {subnet.name: one.new.router for one in networks if one.new for subnet in one.new.subnets}
    return tuple(cut for one in networks if one.old for cut in _of_network(one.old, one.new, joined))


def refuse(some: Sequence[Interruption], use: GatewayUse) -> None:
    """Refuse interruptions for present users, and physical networks that no gateway host has.

    Raises:
        FailedPrecondition: names the router, the gateway host and the number of users.
    """
    for cut in some:
        before, after = cut.router, cut.then
        if after and after.name != before.name and use.active.get(after.name):
            continue  # the subnet's new router has an active gateway too
        served = router_rules.eligible_hosts(before, use.nodes)
        moves = after and after.external and _network(after) != _network(before)
        if after and moves and served and not router_rules.eligible_hosts(after, use.nodes):
            known = sorted({name for node in use.nodes if node.is_gateway for name in node.physical_networks})
            raise FailedPrecondition(
                f"router {before.name}: no gateway host has a bridge for physical network {_network(after)}; "
                f"{_loss(cut, use)}",
                f"gateway hosts have: {', '.join(known)}; {_FORCE}",
            )
        host = use.active.get(before.name, "")
        works = host in {node.name for node in served} and host not in router_rules.with_uplink_down(before, use.nodes)
        if works and _users(cut, use):
            raise FailedPrecondition(f"router {before.name}: {cut.why}; {_loss(cut, use)}", _FORCE)


def refuse_removal(host: str, cloud: Cloud, use: GatewayUse) -> None:
    """Refuse to remove a host that is the only possible gateway of a router.

    Raises:
        FailedPrecondition: names the router and the number of users.
    """
    for one in cloud.of(Router):
        others = {node.name for node in router_rules.eligible_hosts(one, use.nodes)} - {
            host,
            *router_rules.with_uplink_down(one, use.nodes),
        }
        network = cloud.network(one.name)
        subnets = tuple(subnet.name for subnet in network.subnets) if network else ()
        cut = Interruption(one, None, subnets, f"no other host than {host} can be its gateway")
        if use.active.get(one.name) == host and not others and _users(cut, use):
            raise FailedPrecondition(f"router {one.name}: {cut.why}; {_loss(cut, use)}", _FORCE)


def _of_network(old: Network, new: Network | None, joined: Mapping[str, Router]) -> Iterator[Interruption]:
    """Possible interruptions by the change of one router."""
    before = old.router
    if before.external is None:
        return
    names = tuple(subnet.name for subnet in old.subnets)
    after = new.router.external if new else None
    if why := _why(before.external, after):
        yield Interruption(before, new.router if new else None, names, why)
        return
    gateways = {subnet.name: subnet.gateway for subnet in new.subnets} if new else {}
    for subnet in old.subnets:
        if subnet.name not in gateways:
            then = joined.get(subnet.name)
            where = f"moves to router {then.name}" if then else "leaves the router"
            yield Interruption(before, then, (subnet.name,), f"subnet {subnet.name} {where}")
        elif gateways[subnet.name] != subnet.gateway:
            why = f"running guests of subnet {subnet.name} keep {subnet.gateway} as their default route for a while"
            yield Interruption(before, new.router if new else None, (subnet.name,), why)


def _why(before: External, after: External | None) -> str:
    """The reason why another external gateway interrupts connections, or ""."""
    if after is None:
        return "its external gateway is removed"
    if after.physical_network != before.physical_network:
        return f"its physical network changes from {before.physical_network} to {after.physical_network}"
    if after.vlan != before.vlan:
        return f"its VLAN changes from {before.vlan or 'none'} to {after.vlan or 'none'}"
    for version, old, new in ((4, before.address, after.address), (6, before.address6, after.address6)):
        if old and not new:
            return f"its IPv{version} external gateway is removed"
        if old and new and _is_elsewhere(old, new):
            return f"its address moves from {old.cidr} to {new.cidr}"
    return ""


def _is_elsewhere(old: InterfaceAddress, new: InterfaceAddress) -> bool:
    """Check for a move to another network; a change of only the prefix length is none."""
    return old.ip not in new.cidr and new.ip not in old.cidr


def _network(one: Router) -> str:
    return one.external.physical_network if one.external else ""


def _users(cut: Interruption, use: GatewayUse) -> Counter[str]:
    """Number of affected users by title, guests first."""
    guests = Counter({"guest": sum(use.guests.get(subnet, 0) for subnet in cut.subnets)})
    others = (title for title, router, subnet in use.users if router == cut.router.name and subnet in cut.subnets)
    return +(guests + Counter(others))


def _loss(cut: Interruption, use: GatewayUse) -> str:
    host = use.active.get(cut.router.name)
    by = f"through gateway host {host}" if host else "which has no active gateway"
    parts = [f"{count} {title}{'' if count == 1 else 's'}" for title, count in _users(cut, use).items()] or ["no guest"]
    return f"this interrupts external connectivity of {' and '.join(parts)}, {by}"
