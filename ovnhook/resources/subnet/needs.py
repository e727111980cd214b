"""Requirements of a subnet to other kinds: its router. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.base.errors import AlreadyExists, NotFound, OvnhookError
from ovnhook.resources import ip
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet


def needs(subnets: Iterable[Subnet], cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals if the router of a subnet does not exist, or its external network overlaps with the subnet.

    Args:
        subnets: some subnets.
        cloud: the state after the changes.
    """
    return (refusal for one in subnets if one.router for refusal in _of_router(one, cloud))


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
