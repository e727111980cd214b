"""Set-up of a chassis: system-id, tunnel endpoint, southbound database, uplink."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.config import Config
from ovnhook.base.errors import FailedPrecondition
from ovnhook.setup import hostgateway, switch, uplink
from ovnhook.setup.services import enabled, started
from ovnhook.setup.step import Step


def check(remote: str, interface: str) -> None:
    """Check the preconditions, before anything is changed.

    Args:
        remote: remotes of the southbound database; a cloud with one of them is the same cloud.
        interface: interface for the external network, or "".

    Raises:
        FailedPrecondition: the host belongs to another cloud, or the interface is in use.
    """
    present = switch.settings().get("ovn-remote", remote)
    if not set(present.split(",")) & set(remote.split(",")):
        raise FailedPrecondition(
            f"this host belongs to another cloud, with the southbound database {present}",
            "to remove it from that cloud: ovs-vsctl remove open . external_ids ovn-remote",
        )
    if interface:
        uplink.check_free(interface)


def steps(
    name: str, config: Config, remote: str, address: str, interface: str, *, gateway: bool, through_host: bool
) -> Iterator[Step]:
    """Steps of a chassis.

    Args:
        name: name of the node.
        config: configuration, with the integration bridge.
        remote: remotes of the southbound database.
        address: tunnel endpoint IP.
        interface: interface for the external network, or "".
        gateway: the host may be a gateway of routers.
        through_host: routers may reach the outside through this host.
    """
    ids = switch.settings()
    yield switch.system_id(name)
    yield switch.setting("ovn-bridge", config.integration_bridge)
    yield switch.setting("ovn-encap-type", ids.get("ovn-encap-type", "geneve"))
    yield switch.setting("ovn-encap-ip", address)
    yield switch.setting("ovn-remote", remote)
    yield enabled("ovn-host", "ovn-host")
    yield started("ovn-controller")
    if interface:
        yield from uplink.steps(interface)
    if through_host:
        yield from hostgateway.steps()
    if gateway:
        yield switch.list_setting("ovn-cms-options", "enable-chassis-as-gw")
    yield switch.integration_bridge(config.integration_bridge)
