"""What was observed of a cloud, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ovnhook.ovsdb.serverstate import Server
from ovnhook.resources.chassis import Node
from ovnhook.resources.router.values import Router


@dataclass(frozen=True)
class DatabaseState:
    """One of the two databases.

    Attributes:
        name: ``northbound`` or ``southbound``, as the configuration calls it.
        servers: those that the configuration names.
        error: why nothing can be read from it, or "".
    """

    name: str
    servers: tuple[Server, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Pace:
    """How long after a change northd and the hosts have carried it out.

    Attributes:
        northd: milliseconds, or None where it has not answered in time.
        nodes: the same of each host; of one that is not there nothing can be said while northd does not answer.
    """

    northd: int | None = None
    nodes: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RouterGateway:
    """A router's way outside.

    Attributes:
        router: which one.
        gateways: the hosts that it may be on, the preferred one first.
        active: the host that has it, or "".
        error: why the control service can't set its gateways, or "".
    """

    router: Router
    gateways: tuple[str, ...] = ()
    active: str = ""
    error: str = ""


@dataclass(frozen=True)
class SubnetUse:
    """How many of the addresses are leased that a subnet has for interfaces that ask for none."""

    subnet: str
    used: int
    capacity: int


@dataclass(frozen=True)
class SharedMac:
    """A MAC address that several ports of a subnet have.

    Attributes:
        subnet: name of the subnet.
        mac: the MAC address.
        owners: the ports, in words.
    """

    subnet: str
    mac: str
    owners: tuple[str, ...]


@dataclass(frozen=True)
class RowProblem:
    """A row of the northbound database that is not as it is to be, and what a person has to do, or ""."""

    what: str
    hint: str = ""


@dataclass(frozen=True)
class Certificate:
    """What a host is let in with, and renews by itself.

    Attributes:
        host: whose it is.
        role: ``node`` or ``control``.
        ends: when it does, in seconds since 1970.
    """

    host: str
    role: str
    ends: float


@dataclass(frozen=True)
class Foreign:
    """A row by which somebody told a database's servers where to listen or connect; it was taken out again.

    Attributes:
        database: ``northbound`` or ``southbound``.
        what: the row.
        seen: when, in seconds since 1970.
    """

    database: str
    what: str
    seen: float


@dataclass(frozen=True)
class CloudState:
    """What could be seen of a cloud; what could not be read is empty, and its database has an error.

    Attributes:
        now: seconds since 1970.
        databases: both.
        pace: None where nobody could be asked.
        nodes: all hosts.
        router_gateways: of all routers that lead outside.
        uses: of all subnets.
        shared_macs: of all subnets.
        defects: rows of ovnhook's that somebody has deleted or changed.
        certificates: of all hosts that have joined.
        foreign: rows that were taken out not long ago.
        follows_rows: whether this control host's northbound server listens where rows say.
        unauthenticated: control hosts that the others know by their addresses alone, though some could do better.
        is_fence_missing: whether the kernel of this control host lacks what it is to do with packets of others.
        unanswered: control hosts that do not answer what this one authenticates, though they could.
    """

    now: float
    databases: tuple[DatabaseState, ...] = ()
    pace: Pace | None = None
    nodes: tuple[Node, ...] = ()
    router_gateways: tuple[RouterGateway, ...] = ()
    uses: tuple[SubnetUse, ...] = ()
    shared_macs: tuple[SharedMac, ...] = ()
    defects: tuple[RowProblem, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    follows_rows: bool = False
    unauthenticated: tuple[str, ...] = ()
    is_fence_missing: bool = False
    unanswered: tuple[str, ...] = ()
