"""This host as the external gateway of routers: the bridge of the link, and the unit that keeps it in order at boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netaddr import IPNetwork

from ovnhook.base.command import run, succeeds
from ovnhook.base.deadline import Deadline
from ovnhook.hostnetwork import gatewaylink
from ovnhook.resources.router.hostlink import BRIDGE, MAC
from ovnhook.resources.router.values import HOST
from ovnhook.setup import switch
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step

_MAPPINGS = "ovn-bridge-mappings"
_TIMEOUT = 10.0  # seconds to read the host's routes


def is_free(ids: Mapping[str, str]) -> bool:
    """Test for a host without other physical networks: one with an uplink of its own keeps it.

    Args:
        ids: external_ids of its Open vSwitch.
    """
    names = {pair.strip().partition(":")[0] for pair in ids.get(_MAPPINGS, "").split(",")}
    return names <= {"", HOST}


def steps() -> Iterator[Step]:
    """Create the bridge, and let this host masquerade for it. Its other interfaces stay as they are."""
    kind = switch.settings().get("ovn-bridge-datapath-type", "")
    yield Step(f"bridge {BRIDGE} exists", _has_bridge, lambda: _add_bridge(kind))
    yield enabled("ovnhook-gateway", "ovnhook-hypervisor")
    yield switch.list_setting(_MAPPINGS, f"{HOST}:{BRIDGE}")


def networks() -> tuple[IPNetwork, ...]:
    """Networks that this host reaches by itself, which no subnet may overlap with."""
    return gatewaylink.networks(Deadline.after(_TIMEOUT))


def _has_bridge() -> bool:
    if not succeeds("ovs-vsctl", "--timeout=10", "br-exists", BRIDGE, no=2):
        return False
    return MAC in run("ovs-vsctl", "--timeout=10", "--if-exists", "get", "Bridge", BRIDGE, "other_config:hwaddr")


def _add_bridge(kind: str) -> None:
    settings = [f'other_config:hwaddr="{MAC}"', *([f"datapath_type={kind}"] if kind else [])]
    run("ovs-vsctl", "--timeout=20", "--may-exist", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, *settings)
