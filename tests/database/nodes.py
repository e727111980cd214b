"""Nodes as clients of the service Agents, each with its certificate, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api import hints
from ovnhook.api.agentmessages import domain_message
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1 import agents_pb2_grpc
from ovnhook.domains.values import Domain
from tests.database.clients import Clients
from tests.database.hypervisors import WEB, domain, interface

WEB1 = domain(interface())


class NodeClient:
    """A client that calls for a host.

    Args:
        channel: to the service.
        host: that it names.
    """

    def __init__(self, channel: grpc.Channel, host: str) -> None:
        self.stub = agents_pb2_grpc.AgentsStub(channel)
        self.host = host

    def attach(self, wanted: Domain = WEB1, *, running: bool = False) -> api.AttachDomainResponse:
        """Attach a domain."""
        request = api.AttachDomainRequest(host=self.host, domain=domain_message(wanted), running=running)
        answer: api.AttachDomainResponse = self.stub.AttachDomain(request, timeout=HANG)
        return answer

    def call(self, method: str, wanted: Domain = WEB1) -> Any:
        """Call a method with a DomainRequest."""
        request = api.DomainRequest(host=self.host, domain=domain_message(wanted))
        return getattr(self.stub, method)(request, timeout=HANG)

    def confirm(self, destination: str, uuid: UUID = WEB) -> None:
        """Confirm a migration."""
        request = api.ConfirmMigrationRequest(host=self.host, domain=str(uuid), destination=destination)
        self.stub.ConfirmMigration(request, timeout=HANG)

    def report(self, **fields: Any) -> None:
        """Report the host's status."""
        self.stub.ReportHost(api.ReportHostRequest(host=self.host, **fields), timeout=HANG)

    def any(self, method: str, **fields: Any) -> Any:
        """Call any method with these fields."""
        message = {"AttachDomain": "AttachDomain", "ConfirmMigration": "ConfirmMigration", "ReportHost": "ReportHost"}
        request = getattr(api, f"{message.get(method, 'Domain')}Request")(host=self.host, **fields)
        return getattr(self.stub, method)(request, timeout=HANG)


def ports(clients: Clients) -> list[tuple[str, str]]:
    """Host and destination of every port."""
    found = clients.control.done("port", "list", "--format", "json").json
    return [(port["host"], port["moving_to"]) for port in found]


def leases(clients: Clients) -> list[tuple[str, str]]:
    """Domain and host of every lease."""
    found = clients.control.done("lease", "list", "--format", "json").json
    return [(lease["domain_name"], lease["host"]) for lease in found]


def error_of(call: Callable[[], Any]) -> tuple[str, str, str]:
    """Class, message and hint of the error of a call."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    found = caught.value.trailing_metadata()
    return hints.error_class(found), caught.value.details(), hints.hint(found)
