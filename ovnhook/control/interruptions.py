"""Refusal of changes that would interrupt an external connection in use."""

from __future__ import annotations

from collections.abc import Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis import connectivity
from ovnhook.diagnosis.connectivity import GatewayUse
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import SHARED
from ovnhook.resources.state import Cloud


def refuse_interruptions(
    planned: Sequence[Change], cloud: Cloud, northbound: Northbound, southbound: Southbound, deadline: Deadline
) -> None:
    """Refuse planned changes that would interrupt an external connection in use.

    Raises:
        FailedPrecondition: they would.
        Unavailable: a database is unreachable. It is read only if the changes may interrupt a connection.
    """
    if found := connectivity.interruptions(planned):
        connectivity.refuse(found, _use(cloud, northbound, southbound, deadline))


def refuse_removal(host: str, northbound: Northbound, southbound: Southbound, deadline: Deadline) -> None:
    """Refuse the removal of a host that is the only gateway of a router whose external connection is in use.

    Raises:
        FailedPrecondition: it is.
        Unavailable: a database is unreachable.
    """
    cloud = northbound.cloud(deadline)
    connectivity.refuse_removal(host, cloud, _use(cloud, northbound, southbound, deadline))


def _use(cloud: Cloud, northbound: Northbound, southbound: Southbound, deadline: Deadline) -> GatewayUse:
    return GatewayUse(
        nodes=southbound.nodes(deadline),
        active=southbound.active_gateways(deadline),
        guests=northbound.port_counts(deadline, by="subnet"),
        users=[(kind.title, *place) for kind in SHARED for one in cloud.of(kind.type) if (place := kind.gateway(one))],
    )
