"""External connectivity that a change of a router, a subnet or a gateway host would cut. Pure.

A change that takes a working external gateway from guests is refused unless it is forced. Where nothing works yet, or
nobody uses it, there is nothing to cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ovnhook.base.errors import InUse
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.kind import NETWORK
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud

_ANYWAY = "to do it anyway: --force"


@dataclass(frozen=True)
class GatewayUse:
    """External connectivity as it is now, as far as the hosts and the databases say.

    Attributes:
        nodes: all hosts.
        active: the host that has each router's external gateway, by router.
        guests: how many ports are on each subnet.
        users: others that use a router's external gateway: their title, the router and the subnet of each.
    """

    nodes: Sequence[Node]
    active: Mapping[str, str]
    guests: Mapping[str, int]
    users: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Interruption:
    """A possible loss of external connectivity.

    Attributes:
        router: as it was, with an external gateway.
        then: the router that its subnets are on afterwards, or None.
        subnets: names of those that may lose it.
        why: in words.
    """

    router: Router
    then: Router | None
    subnets: tuple[str, ...]
    why: str


def interruptions(changes: Sequence[Change]) -> tuple[Interruption, ...]:
    """What some changes may cut, as far as they alone tell."""
    networks = list(puts(NETWORK, changes))
    joined = {subnet.name: one.new.router for one in networks if one.new for subnet in one.new.subnets}
    return tuple(cut for one in networks if one.old for cut in _of_network(one.old, one.new, joined))


def refuse(some: Sequence[Interruption], use: GatewayUse) -> None:
    """Refuse changes that would cut off users of an external gateway, or that no gateway host could serve.

    Raises:
        InUse: says which router, which gateway host, and how many would be cut off.
    """
    for cut in some:
        before, after = cut.router, cut.then
        if after and after.name != before.name and use.active.get(after.name):
            continue  # the subnet's new router has an external gateway too
        served = router_rules.eligible_hosts(before, use.nodes)
        moves = after and after.external and _network(after) != _network(before)
        if after and moves and served and not router_rules.eligible_hosts(after, use.nodes):
            known = sorted({name for node in use.nodes if node.is_gateway for name in node.physical_networks})
            raise InUse(
                f"router {before.name}: no gateway host has a bridge for physical network {_network(after)}; "
                f"{_loss(cut, use)}",
                f"gateway hosts have: {', '.join(known)}; {_ANYWAY}",
            )
        host = use.active.get(before.name, "")
        works = host in {node.name for node in served} and host not in router_rules.with_uplink_down(before, use.nodes)
        if works and _users(cut, use):
            raise InUse(f"router {before.name}: {cut.why}; {_loss(cut, use)}", _ANYWAY)


def refuse_removal(host: str, cloud: Cloud, use: GatewayUse) -> None:
    """Refuse to forget a host that has a router's external gateway where no other host can take it.

    Raises:
        InUse: says which router, and how many would be cut off.
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
            raise InUse(f"router {one.name}: {cut.why}; {_loss(cut, use)}", _ANYWAY)


def _of_network(old: Network, new: Network | None, joined: Mapping[str, Router]) -> Iterator[Interruption]:
    """What a change of a router with its subnets may cut."""
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
            where = f"on router {then.name}" if then else "on no router"
            yield Interruption(before, then, (subnet.name,), f"subnet {subnet.name} is {where} then")
        elif gateways[subnet.name] != subnet.gateway:
            why = f"running guests of subnet {subnet.name} keep {subnet.gateway} as their default route for a while"
            yield Interruption(before, new.router if new else None, (subnet.name,), why)


def _why(before: External, after: External | None) -> str:
    """Why guests' connections do not go on with another external gateway, or ""."""
    if after is None:
        return "it has no external gateway then"
    if after.physical_network != before.physical_network:
        return f"its physical network is {after.physical_network} then, not {before.physical_network}"
    if after.vlan != before.vlan:
        return f"its VLAN is {after.vlan or 'none'} then, not {before.vlan or 'none'}"
    for version, old, new in ((4, before.address, after.address), (6, before.address6, after.address6)):
        if old and not new:
            return f"IPv{version} has no external gateway then"
        if old and new and _is_elsewhere(old, new):
            return f"its address is in {new.cidr} then, not in {old.cidr}"
    return ""


def _is_elsewhere(old: InterfaceAddress, new: InterfaceAddress) -> bool:
    """Whether an address is in another network, not only in a larger or smaller part of the same one."""
    return old.ip not in new.cidr and new.ip not in old.cidr


def _network(one: Router) -> str:
    return one.external.physical_network if one.external else ""


def _users(cut: Interruption, use: GatewayUse) -> Counter[str]:
    """The number of those that lose their connection, by their title: guests first, then users of other kinds."""
    guests = Counter({"guest": sum(use.guests.get(subnet, 0) for subnet in cut.subnets)})
    others = (title for title, router, subnet in use.users if router == cut.router.name and subnet in cut.subnets)
    return +(guests + Counter(others))


def _loss(cut: Interruption, use: GatewayUse) -> str:
    host = use.active.get(cut.router.name)
    by = f"by gateway host {host}" if host else "which no gateway host has now"
    parts = [f"{count} {title}{'' if count == 1 else 's'}" for title, count in _users(cut, use).items()] or ["no guest"]
    return f"this cuts the external connection of {' and '.join(parts)}, {by}"
