"""The interface by which a gateway host's routers reach the outside: in a bridge of Open vSwitch, and up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ovnhook.base.errors import InUse, NotFound
from ovnhook.setup import switch
from ovnhook.setup.command import holds, run
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step

PHYSICAL_NETWORK = "external"

_BRIDGE = "br-ex"
_OF_SWITCH = "ovs-system"  # the master of interfaces that are in a bridge of Open vSwitch
_MAPPINGS = "ovn-bridge-mappings"


@dataclass(frozen=True)
class Link:
    """An interface of the host, as ip-address(8) tells of it.

    Attributes:
        name: of it.
        is_up: whether it was switched on.
        is_loopback: whether it leads nowhere.
        master: the bridge, bond or the like that it is in, or "".
        addresses: those that the host is reached by; one that every interface has by itself (fe80::) is none.
    """

    name: str
    is_up: bool
    is_loopback: bool
    master: str
    addresses: tuple[str, ...]


def parse(said: str) -> Link:
    """What ``ip -json address show dev …`` says of one interface."""
    (row,) = (row for row in json.loads(said) if row)
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
    """Refuse an interface that is not free to be the routers' way outside.

    Args:
        link: the interface.
        bridge: that it is to be in.
        present: the bridge of Open vSwitch that it is in, or "".

    Raises:
        InUse: it is none, or something else needs it.
    """
    if present == bridge:
        return
    if link.is_loopback:
        raise InUse(f"interface {link.name} leads to no other machine", "ip -brief link")
    if link.addresses:
        # Whoever sets the host up may well have come by these addresses, and what gave it them would do so again.
        raise InUse(
            f"interface {link.name} has this host's addresses {', '.join(link.addresses)}, which it would lose",
            "give one without addresses, or first take these away in the host's own network configuration",
        )
    if present or link.master not in ("", _OF_SWITCH):
        raise InUse(
            f"interface {link.name} is in {present or link.master} already", "give another one, or take it out there"
        )


def bridge_of(mappings: str) -> str:
    """The bridge for the network outside, by ovn-bridge-mappings, or the one that will be."""
    pairs = dict(one.strip().split(":", 1) for one in mappings.split(",") if ":" in one)
    return pairs.get(PHYSICAL_NETWORK, _BRIDGE)


def check_free(interface: str) -> None:
    """Refuse an interface of this host that can't be the routers' way outside.

    Raises:
        NotFound: there is none of that name.
        InUse: something else needs it.
    """
    bridge = bridge_of(switch.settings().get(_MAPPINGS, ""))
    check(_look(interface), bridge, _bridge_now(interface))


def steps(interface: str) -> Iterator[Step]:
    """What makes of a host one that routers reach the outside by."""
    ids = switch.settings()
    bridge = bridge_of(ids.get(_MAPPINGS, ""))
    unit = run("systemd-escape", "--template=ovnhook-uplink@.service", interface).strip()
    kind = ids.get("ovn-bridge-datapath-type", "")
    yield Step(f"the bridge {bridge} is there", lambda: bridge in switch.bridges(), lambda: _make(bridge, kind))
    yield Step(
        f"interface {interface} is in the bridge {bridge}",
        lambda: _bridge_now(interface) == bridge,
        lambda: _add(bridge, interface),
    )
    yield enabled(unit, "ovnhook-hypervisor")
    yield Step(f"interface {interface} is switched on", lambda: _look(interface).is_up, lambda: _up(interface))
    yield switch.knows_also(_MAPPINGS, f"{PHYSICAL_NETWORK}:{bridge}")


def _look(interface: str) -> Link:
    if not holds("ip", "link", "show", "dev", interface):
        raise NotFound(f"this host has no interface {interface}", "ip -brief link")
    return parse(run("ip", "-json", "address", "show", "dev", interface))


def _bridge_now(interface: str) -> str:
    if not holds("ovs-vsctl", "--timeout=10", "port-to-br", interface):
        return ""
    return run("ovs-vsctl", "--timeout=10", "port-to-br", interface).strip()


def _make(bridge: str, kind: str) -> None:
    datapath = ["--", "set", "Bridge", bridge, f"datapath_type={kind}"] if kind else []
    run("ovs-vsctl", "--timeout=20", "--may-exist", "add-br", bridge, *datapath)


def _add(bridge: str, interface: str) -> None:
    run("ovs-vsctl", "--timeout=20", "--may-exist", "add-port", bridge, interface)


def _up(interface: str) -> None:
    run("ip", "link", "set", "dev", interface, "up")
