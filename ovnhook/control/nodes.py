"""The service ``ovnhook.v1.Nodes``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ovnhook.api.v1 import ovnhook_pb2 as api
from ovnhook.control.pages import page
from ovnhook.deadline import Deadline
from ovnhook.errors import NotFound
from ovnhook.model import Node
from ovnhook.ovsdb.northbound import Northbound
from ovnhook.ovsdb.southbound import Southbound


@dataclass(frozen=True)
class Around:
    """What others know of hosts; None where the database that tells is out of reach.

    Attributes:
        nb_cfg: what the hosts should have carried out.
        ports: how many ports are on each.
        active: the host that has each router's leg outside, by router.
    """

    nb_cfg: int | None = None
    ports: Mapping[str, int] | None = None
    active: Mapping[str, str] = field(default_factory=dict)


class Nodes:
    """Shows hosts.

    Args:
        northbound: tells what is on them.
        southbound: tells which there are, and how they are.
    """

    def __init__(self, northbound: Northbound, southbound: Southbound) -> None:
        self._northbound = northbound
        self._southbound = southbound

    def ListNodes(self, request: api.ListNodesRequest, deadline: Deadline) -> api.ListNodesResponse:
        """Show them, in pages."""
        nodes, around = self._southbound.nodes(deadline), self._around(deadline)
        shown, token = page(nodes, lambda node: (node.name,), request.page_size, request.page_token)
        return api.ListNodesResponse(nodes=[message(node, around) for node in shown], next_page_token=token)

    def GetNode(self, request: api.GetNodeRequest, deadline: Deadline) -> api.Node:
        """Show one."""
        for node in self._southbound.nodes(deadline):
            if node.name == request.name:
                return message(node, self._around(deadline))
        raise NotFound(f"there is no node '{request.name}'", "ovnhook node list")

    def _around(self, deadline: Deadline) -> Around:
        return Around(
            nb_cfg=self._northbound.nb_cfg(deadline),
            ports=self._northbound.port_counts(deadline),
            active=self._southbound.active(deadline),
        )


def message(node: Node, around: Around) -> api.Node:
    """A host as it is shown."""
    return api.Node(
        name=node.name,
        hostname=node.hostname,
        encapsulations=[api.Encapsulation(type=kind, ip=ip) for kind, ip in node.encapsulations],
        is_gateway=node.is_gateway,
        physical_networks=sorted(node.physical_networks),
        uplinks_down=sorted(node.uplinks_down & node.physical_networks),
        agent_version=node.agent,
        agent_seen=_ago(node.agent_seen),
        ovs_version=node.ovs,
        ovn_behind=None if around.nb_cfg is None else max(0, around.nb_cfg - node.nb_cfg),
        ovn_seen=_ago(node.nb_cfg_at),
        ports=None if around.ports is None else around.ports.get(node.name, 0),
        active_for=sorted(name for name, host in around.active.items() if host == node.name),
    )


def _ago(moment: float) -> int | None:
    """Seconds since a moment by another host's clock, which may be ahead; None where there was none."""
    return max(0, int(time.time() - moment)) if moment else None
