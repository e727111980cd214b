"""Networks of subnets in libvirt: the present ones, and the changes that make every subnet a network. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.domains.networkxml import LibvirtNetwork, definition, subnet_network


@dataclass(frozen=True)
class PresentNetwork:
    """A network of a host's libvirt.

    Attributes:
        stored: its definition; of a transient network the same as `live`.
        live: as it runs, or None while it is not active.
        is_persistent: it has a definition.
        is_autostarted: libvirt starts it when libvirt starts.
    """

    stored: LibvirtNetwork
    live: LibvirtNetwork | None = None
    is_persistent: bool = True
    is_autostarted: bool = False


@dataclass(frozen=True)
class NetworkChange:
    """A change of one network: the steps that are set, in the order of the attributes.

    Attributes:
        name: name of the network.
        uuid: its UUID.
        stop: stop it. Running domains that use it are not affected.
        undefine: delete its definition.
        define: XML to define it with, or "".
        autostart: let libvirt start it.
        start: start it.
    """

    name: str
    uuid: UUID
    stop: bool = False
    undefine: bool = False
    define: str = ""
    autostart: bool = False
    start: bool = False


@dataclass(frozen=True)
class NetworkPlan:
    """Changes of a host's networks.

    Attributes:
        changes: changes of networks.
        foreign: other networks, which lead elsewhere than to the integration bridge.
        clashes: those that have the name of a subnet.
    """

    changes: tuple[NetworkChange, ...] = ()
    foreign: tuple[str, ...] = ()
    clashes: tuple[str, ...] = ()


def plan(subnets: Collection[str], present: Iterable[PresentNetwork], bridge: str) -> NetworkPlan:
    """Compare networks with subnets.

    Args:
        subnets: names of the subnets that are to be networks.
        present: networks of the host.
        bridge: name of the integration bridge.
    """
    known = {one.stored.name: one for one in present}
    own = {name: one for name, one in known.items() if one.stored.is_of(name)}
    others = known.keys() - own.keys()
    removals = (_removal(name, one) for name, one in sorted(own.items()) if name not in subnets)
    repairs = (
        change
        for name in sorted(subnets)
        if name not in others
        for change in _repair(subnet_network(name, bridge), own.get(name))
    )
    foreign = tuple(sorted(name for name in others if not known[name].stored.leads_to(bridge)))
    return NetworkPlan((*removals, *repairs), foreign, tuple(name for name in foreign if name in subnets))


def _removal(name: str, one: PresentNetwork) -> NetworkChange:
    return NetworkChange(name, uuids.network(name), stop=one.live is not None, undefine=one.is_persistent)


def _repair(wanted: LibvirtNetwork, one: PresentNetwork | None) -> Iterator[NetworkChange]:
    is_defined = one is not None and one.is_persistent and one.stored == wanted
    is_started = one is not None and one.live == wanted
    is_autostarted = is_defined and one is not None and one.is_autostarted
    if is_defined and is_started and is_autostarted:
        return
    yield NetworkChange(
        wanted.name,
        uuids.network(wanted.name),
        stop=one is not None and one.live is not None and not is_started,
        define="" if is_defined else definition(wanted),
        autostart=not is_autostarted,
        start=not is_started,
    )
