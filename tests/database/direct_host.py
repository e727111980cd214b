"""A host whose calls of the control service are answered in this process: no connection, the same code.

The agents of the other hosts are dead: a host may take over their domains.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from netaddr import IPNetwork

from ovnhook.agent.host import Host
from ovnhook.api.channels import Method
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.control.agentstates import AgentStates
from ovnhook.control.hostfeed import HostFeed
from ovnhook.control.services.agents import Agents
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.databases.vswitch import Vswitch
from ovnhook.domains.presence import AgentState
from ovnhook.engine import underlay
from ovnhook.engine.attach import Attachment
from ovnhook.pki.x509 import NODE, Subject


class DeadAgents(AgentStates):
    """The agents of hosts that are down."""

    def find(self, host: str, deadline: Deadline) -> AgentState:
        """See AgentStates."""
        del host, deadline
        return AgentState.DEAD


class DirectCalls:
    """Calls of the service ``Agents`` by the host that each request names.

    Attributes:
        made: names of the methods that were called.
    """

    def __init__(self, config: Config) -> None:
        southbound, vswitch = Southbound(config.southbound), Vswitch(config.vswitch, config.integration_bridge)
        measure_underlay = partial(underlay.of_cloud, southbound.mtus, vswitch)
        self.attachment = Attachment(Northbound(config.northbound), IPNetwork(config.isolated_pool), measure_underlay)
        self.made: list[str] = []
        self._service = Agents(self.attachment, southbound, DeadAgents(southbound), HostFeed(config.northbound))

    def call(self, method: Method, request: Any, deadline: Deadline) -> Any:
        """See ApiCalls."""
        self.made.append(method.name)
        return getattr(self._service, method.name)(request, deadline, Subject(request.host, NODE))


class DirectHost(Host):
    """A host on databases.

    Attributes:
        attachment: what the service attaches its domains with.
        calls: its calls.
    """

    def __init__(self, config: Config) -> None:
        self.calls = DirectCalls(config)
        super().__init__(config, self.calls)
        self.attachment = self.calls.attachment

    @property
    def northbound(self) -> Northbound:
        """Northbound database."""
        return self.attachment.northbound
