"""Observed state of a cloud, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ovnhook.ovsdb.serverstate import ServerStatus
from ovnhook.resources.chassis import Node
from ovnhook.resources.router.values import Router
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class DatabaseState:
    """State of one of the two databases.

    Attributes:
        name: ``northbound`` or ``southbound``, as the configuration calls it.
        servers: the configured servers.
        error: why it can't be read, or "".
    """

    name: str
    servers: tuple[ServerStatus, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Pace:
    """Latency of a change until northd and the hosts have applied it (NB_Global.nb_cfg).

    Attributes:
        northd: milliseconds, or None if it has not answered in time.
        nodes: the same of each host; a host is missing while northd does not answer.
    """

    northd: int | None = None
    nodes: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RouterGateway:
    """State of a router's external gateway port.

    Attributes:
        router: the router.
        gateways: its gateway chassis, by priority.
        active: the chassis that has bound the port, or "".
        error: why the control service can't set its gateways, or "".
    """

    router: Router
    gateways: tuple[str, ...] = ()
    active: str = ""
    error: str = ""


@dataclass(frozen=True)
class SubnetUse:
    """Usage of a subnet's dynamic address ranges."""

    subnet: str
    used: int
    capacity: int


@dataclass(frozen=True)
class SharedMac:
    """A MAC address that several ports of a subnet share.

    Attributes:
        subnet: name of the subnet.
        mac: the MAC address.
        owners: descriptions of the ports.
    """

    subnet: str
    mac: str
    owners: tuple[str, ...]


@dataclass(frozen=True)
class RowProblem:
    """A missing or modified row of the northbound database; the hint is "" where the repair is automatic."""

    what: str
    hint: str = ""


@dataclass(frozen=True)
class Certificate:
    """A host's certificate, which the host renews itself.

    Attributes:
        host: its owner.
        role: ``node`` or ``control``.
        ends: time of expiry, in seconds since 1970.
    """

    host: str
    role: str
    ends: float


@dataclass(frozen=True)
class Foreign:
    """A removed row of somebody else's that made a database's servers listen or connect elsewhere.

    Attributes:
        database: ``northbound`` or ``southbound``.
        what: the row.
        seen: time of removal, in seconds since 1970.
    """

    database: str
    what: str
    seen: float


@dataclass(frozen=True)
class Eavesdropper:
    """A host that was sent copies of a guest's packets, because it had bound the guest's port in addition.

    Attributes:
        host: its chassis.
        port: name of the port.
        domain: name of the guest's domain.
        seen: time at which the binding was removed last, in seconds since 1970.
    """

    host: str
    port: str
    domain: str
    seen: float


@dataclass(frozen=True)
class CloudState:
    """Observed state of a cloud. What could not be read is empty, and its database has an error.

    Attributes:
        now: seconds since 1970.
        databases: both.
        pace: None where it could not be measured.
        nodes: all hosts.
        router_gateways: of all routers with an external gateway.
        uses: of all subnets.
        recorded: subnets in which OVN answers DNS queries.
        northd_version: version of ovn-northd, or "" if it is not known.
        shared_macs: of all subnets.
        defects: ovnhook's rows that somebody has deleted or modified.
        certificates: of all hosts that have joined.
        foreign: recently removed rows.
        eavesdroppers: hosts whose bindings of others' ports were removed recently.
        follows_rows: whether this control host's northbound server takes its listening addresses from rows.
        accepts_nodes: whether an earlier version has set up this control host's northbound server, for nodes to use.
        pending: nodes that may still use the northbound database, which keeps it open to all nodes.
        unauthenticated: control hosts that are only known by address, though others authenticate their packets.
        is_fence_missing: whether the kernel of this control host lacks its packet filter and IPsec policies.
        unanswered: control hosts that support authenticated packets, but do not answer them.
    """

    now: float
    databases: tuple[DatabaseState, ...] = ()
    pace: Pace | None = None
    nodes: tuple[Node, ...] = ()
    router_gateways: tuple[RouterGateway, ...] = ()
    uses: tuple[SubnetUse, ...] = ()
    recorded: tuple[Subnet, ...] = ()
    northd_version: str = ""
    shared_macs: tuple[SharedMac, ...] = ()
    defects: tuple[RowProblem, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    eavesdroppers: tuple[Eavesdropper, ...] = ()
    follows_rows: bool = False
    accepts_nodes: bool = False
    pending: tuple[str, ...] = ()
    unauthenticated: tuple[str, ...] = ()
    is_fence_missing: bool = False
    unanswered: tuple[str, ...] = ()
