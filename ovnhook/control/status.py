"""The service ``ovnhook.v1.Status``: asks everybody. What the answers mean is judged in ovnhook.health."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ovnhook import address, health
from ovnhook.api.v1 import ovnhook_pb2 as api
from ovnhook.control.nodes import Around, message
from ovnhook.deadline import Deadline
from ovnhook.errors import OvnhookError
from ovnhook.members import Members
from ovnhook.model import Node
from ovnhook.observed import Cloud
from ovnhook.ovsdb import server
from ovnhook.ovsdb.northbound import Northbound
from ovnhook.ovsdb.southbound import Southbound
from ovnhook.pki import CONTROL, NODE

_PATIENCE = 2.0  # seconds that each of those who are asked has
_PAUSE = 0.01  # seconds between two looks who has answered

T = TypeVar("T")


@dataclass(frozen=True)
class _Stored:
    """What the northbound database says, and the count that everybody is to answer to."""

    cloud: Cloud
    gateways: dict[str, tuple[str, ...]]
    uses: tuple[health.Use, ...]
    ports: Counter[str]
    count: int
    counted_at: float


@dataclass(frozen=True)
class _Hosts:
    """What the southbound database says, after the hosts had time to answer to the count."""

    nodes: tuple[Node, ...]
    active: dict[str, str]
    pace: health.Pace | None


class Status:
    """Tells whether all is well.

    Args:
        northbound: one of those who are asked.
        southbound: the other one.
        members: who is let in, as far as it is known.
    """

    def __init__(self, northbound: Northbound, southbound: Southbound, members: Callable[[], Members]) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._members = members

    def GetStatus(self, request: api.GetStatusRequest, deadline: Deadline) -> api.GetStatusResponse:
        """Ask and judge; what can't be read is a problem among others."""
        del request
        share = min(_PATIENCE, deadline.remaining / 4)
        sides = {"northbound": self._northbound.database, "southbound": self._southbound.database}
        with ThreadPoolExecutor() as pool:
            asked = [
                (side, pool.submit(server.ask, remote.strip(), database.name, Deadline.after(share)))
                for side, database in sides.items()
                for remote in database.remotes.split(",")
            ]
            stored, stored_error = _attempt(lambda: self._stored(Deadline.after(share)))
            hosts, hosts_error = _attempt(lambda: self._hosts(stored, share))
            servers = [(side, one.result()) for side, one in asked]
        errors = {"northbound": stored_error, "southbound": hosts_error}
        observed = health.Observed(
            now=time.time(),
            databases=tuple(
                health.Database(side, tuple(one for where, one in servers if where == side), errors[side])
                for side in sides
            ),
            pace=hosts.pace if hosts else None,
            nodes=hosts.nodes if hosts else (),
            legs=_legs(stored, hosts) if stored else (),
            uses=stored.uses if stored else (),
            certificates=tuple(
                health.Certificate(one.subject.name, one.subject.role, one.ends)
                for one in self._members().found
                if one.ends and one.subject.role in (CONTROL, NODE)
            ),
        )
        around = Around(
            nb_cfg=stored.count if stored else None,
            ports=stored.ports if stored else None,
            active=hosts.active if hosts else {},
        )
        return _answer(observed, around)

    def _stored(self, deadline: Deadline) -> _Stored:
        cloud = self._northbound.cloud(deadline)
        by_name = {one.name: one for one in cloud.subnets}
        used = Counter(
            lease.subnet
            for lease in self._northbound.leases(deadline)
            if lease.subnet in by_name and address.is_given(by_name[lease.subnet], lease.address)
        )
        return _Stored(
            cloud=cloud,
            gateways=self._northbound.gateways(deadline),
            uses=tuple(health.Use(one.name, used[one.name], address.capacity(one)) for one in cloud.subnets),
            ports=self._northbound.port_counts(deadline),
            count=self._northbound.count_up(deadline),
            counted_at=time.monotonic(),
        )

    def _hosts(self, stored: _Stored | None, patience: float) -> _Hosts:
        pace = self._pace(stored, patience) if stored else None
        deadline = Deadline.after(patience)
        return _Hosts(tuple(self._southbound.nodes(deadline)), self._southbound.active(deadline), pace)

    def _pace(self, stored: _Stored, patience: float) -> health.Pace:
        """Wait for northd and the hosts, as ``ovn-nbctl --wait=hv sync`` does, and tell how long each took."""
        if not stored.count:
            return health.Pace()  # the row that is counted in is made by northd, which has never run
        northd: int | None = None
        nodes: dict[str, int | None] = {}
        waited = Deadline.after(patience)
        while True:
            answers = self._southbound.answers(Deadline.after(patience))
            took = round((time.monotonic() - stored.counted_at) * 1000)
            if northd is None and answers.northd >= stored.count:
                northd = took
            for name, count in answers.nodes.items():
                if nodes.get(name) is None:
                    nodes[name] = took if count >= stored.count else None
            if not waited.remaining or (northd is not None and None not in nodes.values()):
                return health.Pace(northd, nodes)
            time.sleep(_PAUSE)


def _attempt(ask: Callable[[], T]) -> tuple[T | None, str]:
    """What somebody answers, or why not."""
    try:
        return ask(), ""
    except OvnhookError as error:
        return None, str(error)


def _legs(stored: _Stored, hosts: _Hosts | None) -> tuple[health.Leg, ...]:
    active = hosts.active if hosts else {}
    routers = (one for one in stored.cloud.routers if one.external)
    return tuple(health.Leg(one, stored.gateways.get(one.name, ()), active.get(one.name, "")) for one in routers)


def _answer(seen: health.Observed, around: Around) -> api.GetStatusResponse:
    found = health.problems(seen)
    return api.GetStatusResponse(
        ok=not found,
        problems=[api.Problem(what=one.what, hint=one.hint) for one in found],
        northd=_northd(seen.pace),
        databases=[
            api.DatabaseServer(
                database=database.name,
                remote=one.remote,
                reachable=not one.error,
                model=one.model,
                connected=one.connected,
                leader=one.leader,
            )
            for database in seen.databases
            for one in database.servers
        ],
        nodes=[message(node, around) for node in seen.nodes],
        gateways=[
            api.RouterGateways(
                router=leg.router.name,
                physical_network=leg.router.external.physical_network if leg.router.external else "",
                gateways=leg.gateways,
                active_gateway=leg.active,
            )
            for leg in seen.legs
        ],
        subnets=[api.SubnetUse(subnet=use.subnet, used=use.used, capacity=use.capacity) for use in seen.uses],
    )


def _northd(pace: health.Pace | None) -> api.Northd:
    if pace is None or pace.northd is None:
        return api.Northd()
    took = [node for node in pace.nodes.values() if node is not None]
    all_ = len(took) == len(pace.nodes)
    return api.Northd(active=True, southbound_ms=pace.northd, hosts_ms=max(took, default=pace.northd) if all_ else None)
