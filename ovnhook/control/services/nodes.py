"""The service ``ovnhook.v1.Nodes``."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import nodes_pb2 as api
from ovnhook.api.v1 import nodes_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition, NotFound, Unavailable
from ovnhook.base.text import quoted
from ovnhook.control.interruptions import refuse_removal
from ovnhook.control.pages import page
from ovnhook.control.roles import CHANGES_AND_WAITS, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.services.certificates import Certificates
from ovnhook.databases import inventory
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis.problems import BEAT, span
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.resources.chassis import Node

_log = logging.getLogger(__name__)

_HEARTBEAT_TIMEOUT = 3 * BEAT  # seconds without a heartbeat after which an agent does not run
_CHASSIS_TIMEOUT = 5.0  # seconds for ovn-controller to answer
_POLL_INTERVAL = 0.1  # seconds


@dataclass(frozen=True)
class NodeContext:
    """State of the cloud that is shown with a host; None if a database is unreachable.

    Attributes:
        nb_cfg: latest NB_Global.nb_cfg, which chassis have to reach.
        ports: number of ports by host.
        active: active gateway by router.
    """

    nb_cfg: int | None = None
    ports: Mapping[str, int] | None = None
    active: Mapping[str, str] = field(default_factory=dict)


class Nodes(Service):
    """Lists and removes hosts.

    Args:
        northbound: northbound database.
        southbound: southbound database.
        attachment: deletes ports and leases of a removed host.
        certificates: revokes a removed host's certificates.
    """

    NAME = "ovnhook.v1.Nodes"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ListNodes": READS,
        "GetNode": READS,
        "RemoveNode": CHANGES_AND_WAITS,
    }

    def __init__(
        self, northbound: Northbound, southbound: Southbound, attachment: Attachment, certificates: Certificates
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._attachment = attachment
        self._certificates = certificates

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.southbound, found.attachment, Certificates.of(found))

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        nodes_pb2_grpc.add_NodesServicer_to_server(self, server)

    def ListNodes(self, request: api.ListNodesRequest, deadline: Deadline) -> api.ListNodesResponse:
        """List the hosts."""
        nodes, context = self._southbound.nodes(deadline), self._context(deadline)
        shown, token = page(
            nodes, lambda node: (node.name,), request.page_size, request.page_token, lambda node: message(node, context)
        )
        return api.ListNodesResponse(nodes=shown, next_page_token=token)

    def GetNode(self, request: api.GetNodeRequest, deadline: Deadline) -> api.Node:
        """Return one host."""
        for node in self._southbound.nodes(deadline):
            if node.name == request.name:
                return message(node, self._context(deadline))
        raise NotFound(f"there is no node '{request.name}'", "ovnhook node list")

    def RemoveNode(self, request: api.RemoveNodeRequest, deadline: Deadline) -> api.RemoveNodeResponse:
        """Remove a host that no longer runs, with its ports, leases and certificates."""
        name = request.name
        nodes = [node for node in self._southbound.nodes(deadline) if node.name == name]
        found = inventory.read(self._northbound.database, name, deadline)
        is_trusted = self._certificates.is_trusted(name, deadline)
        if not (nodes or found.ports or found.lease_indexes or is_trusted):
            raise NotFound(f"there is no node '{name}'", "ovnhook node list")
        for node in nodes:
            self._refuse_running(node, deadline)
        self._certificates.refuse_running(name, deadline)
        if nodes and not request.force:
            refuse_removal(name, self._northbound, self._southbound, deadline)
        self._certificates.revoke_host(name, deadline)  # first, so that it cannot write its rows again
        domains = {
            one.domain: Domain(one.domain, one.domain_name, kept_by=one.kept_by)
            for some in (found.ports, found.lease_indexes)
            for one in some.values()
        }
        for domain in domains.values():
            self._attachment.release_leases(domain, name, deadline)
            self._attachment.detach(domain, name, deadline)  # also ports that are in no lease index
        self._southbound.remove(name, deadline)  # last, so that a failed removal can be repeated
        _log.info("node %s removed, with the ports and leases of %d domains", name, len(domains))
        return api.RemoveNodeResponse(domains=sorted(map(str, domains)))

    def _refuse_running(self, node: Node, deadline: Deadline) -> None:
        """Refuse a host whose agent or ovn-controller runs.

        Raises:
            FailedPrecondition: one of them does.
            Unavailable: northd does not answer, so nothing is known about ovn-controller.
        """
        age = abs(time.time() - node.agent_seen)
        if age < _HEARTBEAT_TIMEOUT:
            raise FailedPrecondition(
                f"node {node.name} is running: last heartbeat {span(age)} ago",
                f"to remove it anyway: systemctl disable --now ovnhook-agent ovn-host there, then wait "
                f"{_HEARTBEAT_TIMEOUT:.0f} s; to revoke its access now: "
                f"ovnhook certificate revoke {quoted(node.name)} --role node",
            )
        count = self._northbound.increment_nb_cfg(deadline)
        requested_at = 0.0  # time at which northd had passed the count on to the chassis
        while not requested_at or time.monotonic() - requested_at < _CHASSIS_TIMEOUT:
            answers = self._southbound.config_progress(deadline)
            if answers.nodes.get(node.name, 0) >= count:
                raise FailedPrecondition(
                    f"node {node.name} is running: its ovn-controller answers",
                    f"to remove it anyway, on {node.name}: systemctl disable --now ovn-host",
                )
            if not requested_at and answers.northd >= count:
                requested_at = time.monotonic()
            if deadline.remaining < _POLL_INTERVAL:
                raise Unavailable(
                    f"ovn-northd does not answer: cannot check that node {node.name} does not run", "ovnhook status"
                )
            time.sleep(_POLL_INTERVAL)

    def _context(self, deadline: Deadline) -> NodeContext:
        return NodeContext(
            nb_cfg=self._northbound.nb_cfg(deadline),
            ports=self._northbound.port_counts(deadline),
            active=self._southbound.active_gateways(deadline),
        )


def message(node: Node, context: NodeContext) -> api.Node:
    """Message of a host."""
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
        mtu=node.mtu,
        ovn_behind=None if context.nb_cfg is None else max(0, context.nb_cfg - node.nb_cfg),
        ovn_seen=_ago(node.nb_cfg_at),
        ports=None if context.ports is None else context.ports.get(node.name, 0),
        foreign_networks=sorted(node.foreign_networks),
        active_for=sorted(name for name, host in context.active.items() if host == node.name),
    )


def _ago(timestamp: float) -> int | None:
    """Seconds since a timestamp of another host, whose clock may be ahead; None for 0."""
    return max(0, int(time.time() - timestamp)) if timestamp else None
