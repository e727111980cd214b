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
from ovnhook.base.errors import InUse, NotFound, Unavailable
from ovnhook.base.text import quoted
from ovnhook.control.cuts import refuse_removal
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

_GONE = 3 * BEAT  # seconds for which an agent tells nothing that is not there
_SILENCE = 5.0  # seconds that a host has to answer
_PAUSE = 0.1  # seconds between two looks


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


class Nodes(Service):
    """Shows hosts, and forgets those that are gone.

    Args:
        northbound: tells what is on them.
        southbound: tells which there are, and how they are.
        attachment: takes away what was on one.
        certificates: lets one in no more.
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
        """Show them, in pages."""
        nodes, around = self._southbound.nodes(deadline), self._around(deadline)
        shown, token = page(
            nodes, lambda node: (node.name,), request.page_size, request.page_token, lambda node: message(node, around)
        )
        return api.ListNodesResponse(nodes=shown, next_page_token=token)

    def GetNode(self, request: api.GetNodeRequest, deadline: Deadline) -> api.Node:
        """Show one."""
        for node in self._southbound.nodes(deadline):
            if node.name == request.name:
                return message(node, self._around(deadline))
        raise NotFound(f"there is no node '{request.name}'", "ovnhook node list")

    def RemoveNode(self, request: api.RemoveNodeRequest, deadline: Deadline) -> api.RemoveNodeResponse:
        """Forget one that is gone for good, with all that was on it."""
        name = request.name
        nodes = [node for node in self._southbound.nodes(deadline) if node.name == name]
        found = inventory.read(self._northbound.database, name, deadline)
        is_trusted = self._certificates.is_trusted(name, deadline)
        if not (nodes or found.ports or found.lease_indexes or is_trusted):
            raise NotFound(f"there is no node '{name}'", "ovnhook node list")
        for node in nodes:
            self._refuse_alive(node, deadline)
        self._certificates.refuse_alive(name, deadline)
        if nodes and not request.force:
            refuse_removal(name, self._northbound, self._southbound, deadline)
        self._certificates.shut_out(name, deadline)  # before what it might write again is taken away
        domains = {port.domain: port.domain_name for port in found.ports.values()}
        domains |= {lease_index.domain: lease_index.domain_name for lease_index in found.lease_indexes.values()}
        for uuid, domain_name in domains.items():
            domain = Domain(uuid, domain_name)
            self._attachment.forget(domain, name, deadline)
            self._attachment.detach(domain, name, deadline)  # also ports that are in no lease index
        self._southbound.remove(name, deadline)  # at last: until then the node is there to be removed again
        _log.info("node %s is removed, with what %d domains had there", name, len(domains))
        return api.RemoveNodeResponse(domains=sorted(map(str, domains)))

    def _refuse_alive(self, node: Node, deadline: Deadline) -> None:
        """Refuse a host whose guests may be running.

        Raises:
            InUse: it gives a sign of life.
            Unavailable: northd does not answer either, so its silence means nothing.
        """
        age = abs(time.time() - node.agent_seen)
        if age < _GONE:
            raise InUse(
                f"node {node.name} is there: its agent told of it {span(age)} ago",
                f"to remove it anyway: systemctl disable --now ovnhook-agent ovn-host there, wait {_GONE:.0f} s; "
                f"to shut it out at once: ovnhook certificate revoke {quoted(node.name)} --role node",
            )
        count = self._northbound.count_up(deadline)
        heard = 0.0  # when northd had told the hosts to answer
        while not heard or time.monotonic() - heard < _SILENCE:
            answers = self._southbound.config_progress(deadline)
            if answers.nodes.get(node.name, 0) >= count:
                raise InUse(
                    f"node {node.name} is there: its ovn-controller answers",
                    f"to remove it anyway, on {node.name}: systemctl disable --now ovn-host",
                )
            if not heard and answers.northd >= count:
                heard = time.monotonic()
            if deadline.remaining < _PAUSE:
                raise Unavailable(
                    f"ovn-northd does not answer in time: whether node {node.name} is there can't be told",
                    "ovnhook status",
                )
            time.sleep(_PAUSE)

    def _around(self, deadline: Deadline) -> Around:
        return Around(
            nb_cfg=self._northbound.nb_cfg(deadline),
            ports=self._northbound.port_counts(deadline),
            active=self._southbound.active_gateways(deadline),
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
        mtu=node.mtu,
        ovn_behind=None if around.nb_cfg is None else max(0, around.nb_cfg - node.nb_cfg),
        ovn_seen=_ago(node.nb_cfg_at),
        ports=None if around.ports is None else around.ports.get(node.name, 0),
        active_for=sorted(name for name, host in around.active.items() if host == node.name),
    )


def _ago(moment: float) -> int | None:
    """Seconds since a moment by another host's clock, which may be ahead; None where there was none."""
    return max(0, int(time.time() - moment)) if moment else None
