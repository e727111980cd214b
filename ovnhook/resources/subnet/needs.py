"""Requirements of a subnet to other kinds: its router, its groups, and routes of gateway hosts to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.base.errors import AlreadyExists, NotFound, OvnhookError
from ovnhook.resources import ip
from ovnhook.resources.security_group.values import SecurityGroup
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet


def needs(subnets: Iterable[Subnet], cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals if the router or a security group of a subnet does not exist, or it overlaps with its external network.

    Args:
        subnets: some subnets.
        cloud: the state after the changes.
    """
    for one in subnets:
        yield from _of_groups(one, cloud)
        if one.router:
            yield from _of_router(one, cloud)


def _of_groups(subnet: Subnet, cloud: Cloud) -> Iterator[OvnhookError]:
    known = {group.name for group in cloud.of(SecurityGroup)}
    for name in subnet.security_groups:
        if name not in known:
            yield NotFound(f"there is no security group '{name}'", f"ovnhook security-group create {name}")


def _of_router(subnet: Subnet, cloud: Cloud) -> Iterator[OvnhookError]:
    network = cloud.network(subnet.router)
    if network is None:
        yield NotFound(f"there is no router '{subnet.router}'", f"ovnhook router create {subnet.router}")
        return
    external = network.router.external
    if external and (pair := ip.overlap(subnet.gateways, (outside.cidr for outside in external.addresses))):
        yield AlreadyExists(
            f"network {pair[0]} of subnet {subnet.name} overlaps with the external network {pair[1]}"
            f" of router {subnet.router}"
        )
    if external and external.is_host:
        yield from _of_hosts(subnet, cloud)


def _of_hosts(subnet: Subnet, cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals if a subnet that gateway hosts have routes to overlaps with one of another router."""
    for other in cloud.of(Subnet):
        network = None if other.router == subnet.router else cloud.network(other.router)
        external = network.router.external if network else None
        if external and external.is_host and (pair := ip.overlap(subnet.gateways, other.gateways)):
            yield AlreadyExists(
                f"network {pair[0]} of subnet {subnet.name} overlaps with subnet {other.name} ({pair[1]}) of router"
                f" {other.router}: hosts have routes to both on physical network {external.physical_network}"
            )
