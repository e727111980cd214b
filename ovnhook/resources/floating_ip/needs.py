"""Requirements of a floating IP to other kinds: the external network of its router. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.base.errors import AlreadyExists, FailedPrecondition, OvnhookError
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Cloud


def needs(some: Iterable[FloatingIp], cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals if a router no longer connects the subnet of its floating IP to its external network.

    Args:
        some: floating IPs.
        cloud: the state after the changes.
    """
    external = {router.name: router.external for router in cloud.of(Router) if router.external}
    own = {address.ip for gateway in external.values() for address in gateway.addresses}
    next_hops = {(name, hop) for name, gateway in external.items() for hop in gateway.next_hops}
    for one in some:
        yield from _of_network(one, cloud)
        if one.address in own or (one.router, one.address) in next_hops:
            yield AlreadyExists(f"address {one.address} is that of {_named(one)}", _delete(one))


def _of_network(one: FloatingIp, cloud: Cloud) -> Iterator[OvnhookError]:
    network, subnet = cloud.network(one.router), cloud.subnet(one.subnet)
    if network is None or subnet is None or subnet.router != one.router:
        yield FailedPrecondition(f"{_named(one)} needs router {one.router}", _delete(one))
    external = network.router.external if network else None
    if not (external and external.address and one.address in external.address.cidr):
        yield FailedPrecondition(f"{_named(one)} needs the external network of router {one.router}", _delete(one))


def _named(one: FloatingIp) -> str:
    return f"floating IP {one.address} of {one.owner}"


def _delete(one: FloatingIp) -> str:
    return f"ovnhook floating-ip delete {one.address}"
