"""Uplink of a gateway host: its interface for the external network, in a bridge of Open vSwitch.

An interface with the host's own addresses keeps them: a macvlan interface on it is put into the bridge instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ovnhook.base.command import run, succeeds
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition, NotFound
from ovnhook.hostnetwork import sharedinterface
from ovnhook.resources.router.values import EXTERNAL_NETWORK
from ovnhook.setup import switch
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step

_BRIDGE = "br-ex"
_OVS_MASTER = "ovs-system"  # master of interfaces in bridges of Open vSwitch
_MAPPINGS = "ovn-bridge-mappings"
_MACVLAN = "ovnhook-macvlan"
_TIMEOUT = 10.0  # seconds to look at an interface


@dataclass(frozen=True)
class Link:
    """Network interface of the host, as shown by ip-address(8).

    Attributes:
        name: name of the interface.
        is_up: it is administratively up.
        is_loopback: it is a loopback interface.
        master: bridge or bond that it is part of, or "".
        addresses: addresses, without link-local ones.
    """

    name: str
    is_up: bool
    is_loopback: bool
    master: str
    addresses: tuple[str, ...]


def parse(output: str) -> Link:
    """Parse the output of ``ip -json address show dev …``."""
    (row,) = (row for row in json.loads(output) if row)
    flags = row.get("flags", ())
    found: list[dict[str, Any]] = row.get("addr_info", [])
    return Link(
        name=row["ifname"],
        is_up="UP" in flags,
        is_loopback="LOOPBACK" in flags,
        master=row.get("master", ""),
        addresses=tuple(f"{one['local']}/{one['prefixlen']}" for one in found if one.get("scope") != "link"),
    )


def check(link: Link, bridge: str, present: str) -> None:
    """Refuse an interface that cannot be an uplink.

    Args:
        link: the interface.
        bridge: bridge that it is to be added to.
        present: bridge of Open vSwitch that it is in, or "".

    Raises:
        FailedPrecondition: a loopback interface, or one that is part of something else.
    """
    if present == bridge:
        return
    if link.is_loopback:
        raise FailedPrecondition(f"interface {link.name} is a loopback interface", "ip -brief link")
    if present or link.master not in ("", _OVS_MASTER):
        raise FailedPrecondition(
            f"interface {link.name} is already in {present or link.master}", "use another one, or remove it from there"
        )


def bridge_of(mappings: str) -> str:
    """Bridge of the external network in ovn-bridge-mappings, or the default one."""
    pairs = dict(one.strip().split(":", 1) for one in mappings.split(",") if ":" in one)
    return pairs.get(EXTERNAL_NETWORK, _BRIDGE)


def check_free(interface: str) -> None:
    """Refuse an interface of this host that cannot be an uplink.

    Raises:
        NotFound: no such interface.
        FailedPrecondition: the interface is in use.
    """
    bridge = bridge_of(switch.settings().get(_MAPPINGS, ""))
    check(_link(interface), bridge, _present_bridge(interface))


def steps(interface: str) -> Iterator[Step]:
    """Add the interface, or a macvlan interface on it, to a bridge, and map the external network to that."""
    ids = switch.settings()
    bridge = bridge_of(ids.get(_MAPPINGS, ""))
    kind = ids.get("ovn-bridge-datapath-type", "")
    # The administrator may be connected through an interface with addresses: it stays as it is, also while it has none.
    has_addresses = _link(interface).addresses or sharedinterface.lower(Deadline.after(_TIMEOUT)) == interface
    is_shared = bool(has_addresses) and _present_bridge(interface) != bridge
    if is_shared:
        yield from _macvlan(interface)
    port = sharedinterface.DEVICE if is_shared else interface
    yield Step(f"bridge {bridge} exists", lambda: bridge in switch.bridges(), lambda: _add_bridge(bridge, kind))
    yield Step(
        f"interface {port} is in bridge {bridge}",
        lambda: _present_bridge(port) == bridge,
        lambda: _add_port(bridge, port),
    )
    if not is_shared:
        yield enabled(_unit("ovnhook-uplink", interface), "ovnhook-hypervisor")
        yield Step(f"interface {interface} is up", lambda: _link(interface).is_up, lambda: _set_up(interface))
    yield switch.list_setting(_MAPPINGS, f"{EXTERNAL_NETWORK}:{bridge}")


def _macvlan(interface: str) -> Iterator[Step]:
    """Create the macvlan interface, now and at boot."""

    def is_done() -> bool:
        found = sharedinterface.lower(Deadline.after(_TIMEOUT))
        if found not in ("", interface):
            raise FailedPrecondition(
                f"interface {sharedinterface.DEVICE} is on {found}, not on {interface}",
                f"systemctl disable {_unit(_MACVLAN, found)}; ip link delete {sharedinterface.DEVICE}; then repeat",
            )
        return bool(found)

    unit = _unit(_MACVLAN, interface)
    yield Step(
        f"interface {sharedinterface.DEVICE} exists on {interface}, which has this host's addresses",
        is_done,
        lambda: _start(unit),
        hint=f"systemctl status {unit}",
    )
    yield enabled(unit, "ovnhook-hypervisor")


def _start(unit: str) -> None:
    run("systemctl", "restart", unit, hint=f"systemctl status {unit}; journalctl -u {unit}")


def _unit(template: str, interface: str) -> str:
    return run("systemd-escape", f"--template={template}@.service", interface).strip()


def _link(interface: str) -> Link:
    if not succeeds("ip", "link", "show", "dev", interface):
        raise NotFound(f"this host has no interface {interface}", "ip -brief link")
    return parse(run("ip", "-json", "address", "show", "dev", interface))


def _present_bridge(interface: str) -> str:
    if not succeeds("ovs-vsctl", "--timeout=10", "port-to-br", interface):
        return ""
    return run("ovs-vsctl", "--timeout=10", "port-to-br", interface).strip()


def _add_bridge(bridge: str, kind: str) -> None:
    datapath = ["--", "set", "Bridge", bridge, f"datapath_type={kind}"] if kind else []
    run("ovs-vsctl", "--timeout=20", "--may-exist", "add-br", bridge, *datapath)


def _add_port(bridge: str, interface: str) -> None:
    run("ovs-vsctl", "--timeout=20", "--may-exist", "add-port", bridge, interface)


def _set_up(interface: str) -> None:
    run("ip", "link", "set", "dev", interface, "up")
