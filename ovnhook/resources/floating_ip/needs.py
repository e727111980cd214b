"""Requirements of a floating IP to other kinds: the external network of its router. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.errors import AlreadyExists, InUse, OvnhookError
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Cloud


def needs(one: FloatingIp, cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals of changes after which a floating IP's router no longer connects its subnet to its network.

    Args:
        one: which one.
        cloud: as it is after the changes.
    """
    name = f"floating IP {one.address} of domain {one.domain_name}"
    delete = f"ovnhook floating-ip delete {one.address}"
    network, subnet = cloud.network(one.router), cloud.subnet(one.subnet)
    if network is None or subnet is None or subnet.router != one.router:
        yield InUse(f"{name} needs router {one.router}", delete)
    external = network.router.external if network else None
    if not (external and external.address and one.address in external.address.cidr):
        yield InUse(f"{name} needs the external network of router {one.router} as it is", delete)
    for router in cloud.of(Router):
        if router.external:
            hops = router.external.next_hops
            taken = {address.ip for address in hops} | ({*hops.values()} if router.name == one.router else set())
            if one.address in taken:
                yield AlreadyExists(f"address {one.address} is that of {name}", delete)
