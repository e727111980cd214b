"""The service ``ovnhook.v1.Status``: collects the state of a cloud, which ovnhook.diagnosis.problems evaluates."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar, Self, TypeVar

import grpc

from ovnhook.api.v1 import status_pb2 as api
from ovnhook.api.v1 import status_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NewerFormat, OvnhookError, Unavailable
from ovnhook.base.text import quoted
from ovnhook.control import withdrawal
from ovnhook.control.bindings import BindingsGuard
from ovnhook.control.consistency import ConsistencyRepairs
from ovnhook.control.gateways import Gateways
from ovnhook.control.guard import RemotesGuard
from ovnhook.control.packets import Packets
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import READS_AND_WAITS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.services.nodes import NodeContext, message
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis import cloudstate, problems
from ovnhook.ovsdb import appctl
from ovnhook.pki import ipsec
from ovnhook.pki.members import Members
from ovnhook.pki.x509 import CONTROL, NODE, OPERATOR, Subject
from ovnhook.resources.chassis import Node
from ovnhook.resources.port.values import Port
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import Subnet

_TIMEOUT = 2.0  # seconds for a database to answer
_CHASSIS_TIMEOUT = 2.0  # seconds for northd and the chassis to answer
MAX_AGE = 10.0
"""Seconds for which callers that may only read get the previous measurement."""

_POLL_INTERVAL = 0.01  # seconds

T = TypeVar("T")


@dataclass(frozen=True)
class _NorthboundState:
    """State of the northbound database."""

    cloud: Cloud = field(default_factory=Cloud)
    gateways: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    northd_version: str = ""
    uses: tuple[cloudstate.SubnetUse, ...] = ()
    shared_macs: tuple[cloudstate.SharedMac, ...] = ()
    ports: Counter[str] | None = None
    defects: tuple[cloudstate.RowProblem, ...] = ()


@dataclass(frozen=True)
class _SouthboundState:
    """State of the southbound database."""

    nodes: tuple[Node, ...]
    active: dict[str, str]


@dataclass(frozen=True)
class _Measurement:
    """Response times of northd and the chassis to an increment of NB_Global.nb_cfg, or the reason why there are none.

    Attributes:
        begun: start of the measurement, on the monotonic clock.
        count: value of NB_Global.nb_cfg, or None if it could not be incremented.
        pace: response times, or None if they could not be read.
        errors: errors by database.
    """

    begun: float
    count: int | None = None
    pace: cloudstate.Pace | None = None
    errors: Mapping[str, str] = field(default_factory=dict)


class Status(Service):
    """Reports the health of a cloud.

    Args:
        northbound: northbound database.
        southbound: southbound database.
        members: returns the trusted clients.
        packets: packet authentication, or None without a certificate authority.
        remotes: guard of the databases' remotes, or None if the database servers are not on this host.
        bindings: guard of port bindings.
        gateways: scheduler of gateways, with its failures.
        repairs: repair of ovnhook's rows, with their defects.
        consistency: repair of rows of domains that contradict each other, with those that can't be repaired.
    """

    NAME = "ovnhook.v1.Status"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "GetStatus": READS_AND_WAITS,
    }

    def __init__(
        self,
        northbound: Northbound,
        southbound: Southbound,
        members: Callable[[], Members],
        packets: Packets | None,
        remotes: RemotesGuard | None,
        bindings: BindingsGuard,
        gateways: Gateways,
        repairs: Repairs,
        consistency: ConsistencyRepairs,
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._members = members
        self._packets = packets
        self._measuring = threading.Lock()
        self._measured = _Measurement(-MAX_AGE)
        self._remotes = remotes
        self._bindings = bindings
        self._gateways = gateways
        self._repairs = repairs
        self._consistency = consistency

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(
            found.northbound,
            found.southbound,
            found.members,
            found.trust.packets if found.trust else None,
            found.remotes,
            found.bindings,
            found.gateways,
            found.repairs,
            found.consistency,
        )

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        status_pb2_grpc.add_StatusServicer_to_server(self, server)

    def GetStatus(self, request: api.GetStatusRequest, deadline: Deadline, caller: Subject) -> api.GetStatusResponse:
        """Collect and evaluate the state; a database that cannot be read is one of the problems.

        A measurement makes northd and every chassis write, so it is rate-limited for callers that may only read.
        """
        del request
        share = min(_TIMEOUT, deadline.remaining / 4)
        sides = {"northbound": self._northbound.database, "southbound": self._southbound.database}
        with ThreadPoolExecutor() as pool:
            answers = [
                (side, pool.submit(appctl.server_status, remote.strip(), database.name, Deadline.after(share)))
                for side, database in sides.items()
                for remote in database.remotes.split(",")
            ]
            stored, stored_error = _attempt(lambda: self._stored(Deadline.after(share)))
            max_age = 0.0 if caller.role in (OPERATOR, CONTROL) else MAX_AGE
            measured = self._measure(share, deadline, max_age) if stored else _Measurement(0)
            hosts, hosts_error = _attempt(lambda: self._hosts(Deadline.after(share)))
            servers = [(side, one.result()) for side, one in answers]
        errors = {**measured.errors, **_errors(northbound=stored_error, southbound=hosts_error)}
        observed = cloudstate.CloudState(
            now=time.time(),
            databases=tuple(
                cloudstate.DatabaseState(
                    side, tuple(one for where, one in servers if where == side), errors.get(side, "")
                )
                for side in sides
            ),
            pace=measured.pace if hosts else None,
            nodes=hosts.nodes if hosts else (),
            router_gateways=_router_gateways(stored, hosts, self._gateways.failures) if stored else (),
            uses=stored.uses if stored else (),
            recorded=tuple(one for one in stored.cloud.of(Subnet) if one.has_records) if stored else (),
            northd_version=stored.northd_version if stored else "",
            shared_macs=stored.shared_macs if stored else (),
            defects=stored.defects if stored else (),
            certificates=tuple(
                cloudstate.Certificate(one.subject.name, one.subject.role, one.expires)
                for one in self._members().all
                if one.expires and one.subject.role in (CONTROL, NODE)
            ),
            foreign=self._remotes.foreign if self._remotes else (),
            eavesdroppers=self._bindings.eavesdroppers,
            follows_rows=self._remotes.follows_rows if self._remotes else False,
            accepts_nodes=self._remotes.accepts_nodes if self._remotes else False,
            pending=withdrawal.pending(hosts.nodes, self._members(), time.time()) if hosts else (),
            unauthenticated=tuple(ipsec.unauthenticated(self._members())),
            is_fence_missing=self._packets.is_missing if self._packets else False,
            unanswered=self._packets.unanswered if self._packets else (),
        )
        context = NodeContext(
            nb_cfg=measured.count,
            ports=stored.ports if stored else None,
            active=hosts.active if hosts else {},
        )
        return _response(observed, context)

    def _stored(self, deadline: Deadline) -> _NorthboundState:
        try:
            cloud = self._northbound.cloud(deadline)
        except NewerFormat as error:
            return _NorthboundState(defects=(cloudstate.RowProblem(error.message, error.hint),))
        by_name = {one.name: one for one in cloud.of(Subnet)}
        stored = self._northbound.domain_rows(deadline)
        used = Counter(
            lease.subnet
            for lease in stored.leases
            if lease.subnet in by_name and address.is_in_pool(by_name[lease.subnet], lease.address)
        )
        foreign = self._northbound.foreign_macs({port.mac for port in stored.ports}, deadline)
        defects = [(one.what, one.hint) for one in self._repairs.defects(deadline)]
        defects += [(one.message, one.hint) for one in stored.broken]
        defects += [(str(one), "") for one in self._consistency.unrepaired]
        defects += [_lost(port) for port in stored.lost]
        return _NorthboundState(
            cloud=cloud,
            gateways=self._northbound.gateways(deadline),
            northd_version=self._northbound.northd_version(deadline),
            uses=tuple(
                cloudstate.SubnetUse(one.name, used[one.name], address.capacity(one)) for one in cloud.of(Subnet)
            ),
            shared_macs=problems.shared_macs(stored.ports, foreign),
            ports=Counter(port.host for port in stored.ports),
            defects=tuple(cloudstate.RowProblem(what, hint) for what, hint in defects),
        )

    def _hosts(self, deadline: Deadline) -> _SouthboundState:
        return _SouthboundState(tuple(self._southbound.nodes(deadline)), self._southbound.active_gateways(deadline))

    def _measure(self, timeout: float, deadline: Deadline, max_age: float) -> _Measurement:
        """Measure the response times of northd and the chassis, once for all concurrent callers.

        Args:
            timeout: seconds for them to answer.
            deadline: when to give up waiting for another caller's measurement.
            max_age: seconds before this call since when a measurement is reused.

        Raises:
            Unavailable: too many concurrent callers.
        """
        since = time.monotonic() - max_age
        if not self._measuring.acquire(timeout=deadline.remaining / 2):
            raise Unavailable("too many concurrent requests of the status")
        try:
            if self._measured.begun < since:
                self._measured = self._measure_now(timeout)
            return self._measured
        finally:
            self._measuring.release()

    def _measure_now(self, timeout: float) -> _Measurement:
        begun = time.monotonic()
        count, error = _attempt(lambda: self._northbound.increment_nb_cfg(Deadline.after(timeout)))
        if count is None:
            return _Measurement(begun, errors=_errors(northbound=error))
        pace, error = _attempt(lambda: self._pace(count, timeout))
        return _Measurement(begun, count, pace, _errors(southbound=error))

    def _pace(self, count: int, timeout: float) -> cloudstate.Pace:
        """Wait for northd and the chassis, like ``ovn-nbctl --wait=hv sync``, and return their response times."""
        if not count:
            return cloudstate.Pace()  # northd, which creates the row of NB_Global, has never run
        incremented_at = time.monotonic()
        northd: int | None = None
        nodes: dict[str, int | None] = {}
        waited = Deadline.after(min(_CHASSIS_TIMEOUT, timeout))
        while True:
            answers = self._southbound.config_progress(Deadline.after(timeout))
            took = round((time.monotonic() - incremented_at) * 1000)
            if northd is None and answers.northd >= count:
                northd = took
            for name, answered in answers.nodes.items():
                if nodes.get(name) is None:
                    nodes[name] = took if answered >= count else None
            if not waited.remaining or (northd is not None and None not in nodes.values()):
                return cloudstate.Pace(northd, nodes)
            time.sleep(_POLL_INTERVAL)


def _lost(port: Port) -> tuple[str, str]:
    """Problem and hint for a client port that was removed from its switch."""
    what = f"the port of interface {port.mac} of domain {port.domain_name} on subnet {port.subnet} is missing"
    delete = f"ovnhook port delete {port.id}"  # not by the domain's name, as it may have other interfaces
    if port.domain != uuids.client_domain(port.domain_name):
        return what, f"its API client can attach domain {port.domain} again; or: {delete}"
    where = " ".join(f"--address {address}" for address in port.addresses)
    options = f"--host {quoted(port.host)} --subnet {port.subnet} --mac {port.mac} {where}"
    return what, f"ovnhook port create {quoted(port.domain_name)} {options}; or: {delete}"


def _errors(**errors: str) -> dict[str, str]:
    """Errors by database, without empty ones."""
    return {side: error for side, error in errors.items() if error}


def _attempt(read: Callable[[], T]) -> tuple[T | None, str]:
    """Return the result and no error, or no result and the error."""
    try:
        return read(), ""
    except OvnhookError as error:
        return None, str(error)


def _router_gateways(
    stored: _NorthboundState, hosts: _SouthboundState | None, failures: Mapping[str, str]
) -> tuple[cloudstate.RouterGateway, ...]:
    active = hosts.active if hosts else {}
    routers = (one for one in stored.cloud.of(Router) if one.external)
    return tuple(
        cloudstate.RouterGateway(
            one, stored.gateways.get(one.name, ()), active.get(one.name, ""), failures.get(one.name, "")
        )
        for one in routers
    )


def _response(state: cloudstate.CloudState, context: NodeContext) -> api.GetStatusResponse:
    found = problems.problems(state)
    return api.GetStatusResponse(
        ok=not found,
        problems=[api.Problem(what=one.what, hint=one.hint) for one in found],
        notes=problems.notes(state),
        northd=_northd(state.pace),
        databases=[
            api.DatabaseServer(
                database=database.name,
                remote=one.remote,
                reachable=not one.error,
                model=one.model,
                connected=one.connected,
                leader=one.leader,
            )
            for database in state.databases
            for one in database.servers
        ],
        nodes=[message(node, context) for node in state.nodes],
        gateways=[
            api.RouterGateways(
                router=one.router.name,
                physical_network=one.router.external.physical_network if one.router.external else "",
                gateways=one.gateways,
                active_gateway=one.active,
            )
            for one in state.router_gateways
        ],
        subnets=[api.SubnetUse(subnet=use.subnet, used=use.used, capacity=use.capacity) for use in state.uses],
    )


def _northd(pace: cloudstate.Pace | None) -> api.Northd:
    if pace is None or pace.northd is None:
        return api.Northd()
    took = [node for node in pace.nodes.values() if node is not None]
    all_ = len(took) == len(pace.nodes)
    return api.Northd(active=True, southbound_ms=pace.northd, hosts_ms=max(took, default=pace.northd) if all_ else None)
