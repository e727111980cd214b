"""Resolution of interface names on the command line and in the API. Pure.

    52:54:00:aa:bb:01     MAC address
    10.1.0.20             leased address
    web1                  domain, by name or UUID
    web1/1                domain and index of the interface, from 0, as in the metadata
    web1/blue             domain and subnet

A port ID takes precedence. An ambiguous name is refused; the error lists the candidates.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from netaddr import EUI, IPAddress, mac_unix_expanded, valid_mac

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.text import quoted
from ovnhook.resources.ip import is_ip
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port

_LISTED = 5  # candidates in an error


class _Nameable(Protocol):
    """A port, or an interface with leases."""

    @property
    def id(self) -> str: ...

    @property
    def domain(self) -> UUID: ...

    @property
    def domain_name(self) -> str: ...

    @property
    def mac(self) -> str: ...

    @property
    def subnet(self) -> str: ...

    @property
    def addresses(self) -> tuple[IPAddress, ...]: ...

    @property
    def index(self) -> int | None: ...


One = TypeVar("One", bound=_Nameable)


@dataclass(frozen=True)
class LeasedInterface:
    """An interface with leases, whether its domain runs or not.

    Attributes:
        leases: in one subnet.
        id: port ID, or "" while the domain is shut off.
        index: index among the domain's interfaces, or None if unknown.
    """

    leases: tuple[Lease, ...]
    id: str = ""
    index: int | None = None

    @property
    def domain(self) -> UUID:
        """UUID of the domain."""
        return self.leases[0].domain

    @property
    def domain_name(self) -> str:
        """Name of the domain."""
        return self.leases[0].domain_name

    @property
    def mac(self) -> str:
        """MAC address of the interface."""
        return self.leases[0].mac

    @property
    def subnet(self) -> str:
        """Name of the subnet."""
        return self.leases[0].subnet

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its leased addresses."""
        return tuple(lease.address for lease in self.leases)


def leased_interfaces(leases: Iterable[Lease], ports: Iterable[Port]) -> list[LeasedInterface]:
    """The interfaces of some leases, with the port IDs of running ones."""
    held: dict[tuple[UUID, str, str], list[Lease]] = defaultdict(list)
    for lease in leases:
        held[lease.domain, lease.mac, lease.subnet].append(lease)
    running: Mapping[tuple[UUID, str, str], Port] = {(port.domain, port.mac, port.subnet): port for port in ports}
    return [
        LeasedInterface(tuple(some), port.id, port.index)
        if (port := running.get(key))
        else LeasedInterface(tuple(some))
        for key, some in held.items()
    ]


def resolve(name: str, among: Iterable[One]) -> list[One]:
    """The interfaces that a name matches."""
    every = list(among)
    if found := [one for one in every if one.id and one.id == name]:
        return found
    whole, _, part = name.rpartition("/")
    return [one for one in every if _is(name, one) or (whole and _has(part, one) and _is(whole, one))]


def require_single(name: str, found: Sequence[One]) -> One:
    """The only match of a name.

    Args:
        name: as it was typed.
        found: its matches, at least one.

    Raises:
        InvalidRequest: the name is ambiguous.
    """
    if len(found) == 1:
        return found[0]
    listed = found[:_LISTED]
    known = [f"{one.mac} ({', '.join(map(str, one.addresses)) or one.subnet})" for one in listed]
    more = [f"{len(found) - _LISTED} more"] if len(found) > _LISTED else []
    taken = Counter(option for one in found for option in {*_names(one)})
    better = [next((option for option in _names(one) if taken[option] == 1), "") for one in listed]
    raise InvalidRequest(
        f"'{name}' is ambiguous: {', '.join([*known, *more])}",
        f"name one of them: {', '.join(quoted(option) for option in better if option)}",
    )


def _is(name: str, one: _Nameable) -> bool:
    """Match a domain, address or MAC."""
    if name == one.domain_name or name.lower() == str(one.domain):
        return True
    if is_ip(name):
        return IPAddress(name) in one.addresses
    return valid_mac(name) and str(EUI(name, dialect=mac_unix_expanded)) == one.mac


def _has(part: str, one: _Nameable) -> bool:
    """Match the part after the domain: subnet or index."""
    return part == one.subnet or (one.index is not None and part == str(one.index))


def _names(one: _Nameable) -> list[str]:
    """All names of an interface, the most readable first."""
    numbered = [] if one.index is None else [f"{one.domain_name}/{one.index}"]
    return [f"{one.domain_name}/{one.subnet}", *numbered, one.mac, *map(str, one.addresses), one.id]
