"""What makes a host a chassis of OVN, that domains can run on."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.config import Config
from ovnhook.base.errors import InUse
from ovnhook.setup import switch, uplink
from ovnhook.setup.services import enabled, started
from ovnhook.setup.step import Step


def check(remote: str, interface: str) -> None:
    """Refuse, before anything is changed, a host that can't become one.

    Args:
        remote: where the southbound database is; a cloud that has one of these servers is the same one.
        interface: that is to lead outside, or "".

    Raises:
        InUse: it is part of another cloud, or the interface is needed for something else.
    """
    present = switch.settings().get("ovn-remote", remote)
    if not set(present.split(",")) & set(remote.split(",")):
        raise InUse(
            f"this host is part of the cloud whose southbound database is at {present}",
            "to take it out of that: ovs-vsctl remove open . external_ids ovn-remote",
        )
    if interface:
        uplink.check_free(interface)


def steps(name: str, config: Config, remote: str, address: str, interface: str, *, gateway: bool) -> Iterator[Step]:
    """It has a name, a tunnel endpoint, and the southbound database.

    Args:
        name: of the node.
        config: names the integration bridge.
        remote: where the southbound database is.
        address: where its tunnels end, unless it has one already.
        interface: that leads outside, or "".
        gateway: whether routers may reach the outside by this host.
    """
    ids = switch.settings()
    yield switch.named(name)
    yield switch.knows("ovn-bridge", config.integration_bridge)
    yield switch.knows("ovn-encap-type", ids.get("ovn-encap-type", "geneve"))
    yield switch.knows("ovn-encap-ip", address)
    yield switch.knows("ovn-remote", remote)
    yield enabled("ovn-host", "ovn-host")
    yield started("ovn-controller")
    if interface:
        yield from uplink.steps(interface)
    if gateway:
        yield switch.knows_also("ovn-cms-options", "enable-chassis-as-gw")
    yield switch.integrated(config.integration_bridge)
