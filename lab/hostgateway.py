"""A gateway host whose only connection to the external network is its own: routers reach the outside through it."""

from __future__ import annotations

from lab.fabric import EXTERNAL, prefixed
from lab.host import LabHost
from ovnhook.resources.router.hostlink import BRIDGE, MAC
from ovnhook.resources.router.values import EXTERNAL_NETWORK, HOST

_UPLINK = "br-ex"


def own_address(index: int) -> str:
    """A host's own address on the external network.

    Args:
        index: number of the host.
    """
    return prefixed(EXTERNAL, index).partition("/")[0]


def connect(host: LabHost, index: int, next_hop: str) -> None:
    """Give a gateway host an address and a default route, and the bridge that ``ovnhook node init`` would make.

    Args:
        host: one of the gateway hosts.
        index: its number.
        next_hop: address of the host outside.
    """
    host.run(["ip", "address", "replace", prefixed(EXTERNAL, index), "dev", _UPLINK])
    host.run(["ip", "link", "set", _UPLINK, "up"])
    host.run(["ip", "route", "replace", "default", "via", next_hop])
    host.run(["ovs-vsctl", "--may-exist", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev"])
    host.run(["ovs-vsctl", "set", "Bridge", BRIDGE, f'other_config:hwaddr="{MAC}"'])
    mappings = f'external_ids:ovn-bridge-mappings="{EXTERNAL_NETWORK}:{_UPLINK},{HOST}:{BRIDGE}"'
    host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", mappings])
