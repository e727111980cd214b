"""The control service as this host uses it: values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ovnhook.api.agentmessages import domain_message, object_of, refusal_of
from ovnhook.api.calls import ApiCalls, Calls
from ovnhook.api.channels import Method, UnknownMethod
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition, OvnhookError, Unavailable
from ovnhook.domains.inventory import Inventory
from ovnhook.domains.values import Domain
from ovnhook.resources.chassis import NextHop, Report

SERVICE = "ovnhook.v1.Agents"


@dataclass(frozen=True)
class AttachResult:
    """The result of an attach.

    Attributes:
        arrives: True if the domain is migrating here from another host.
        refused: errors of interfaces of a running domain that could not be attached.
        pending_until_restart: messages about requests of its metadata that take effect at the next start.
    """

    arrives: bool = False
    refused: tuple[OvnhookError, ...] = ()
    pending_until_restart: tuple[str, ...] = ()


class ControlService:
    """The service ``Agents`` of the control service. Thread-safe.

    Each method is idempotent, and raises Unavailable if no control service answers in time.

    Args:
        calls: calls its methods.
    """

    def __init__(self, calls: ApiCalls) -> None:
        self._calls = calls

    def attach(self, domain: Domain, host: str, deadline: Deadline, *, running: bool) -> AttachResult:
        """Create the port and the leases of every interface of a domain.

        Raises:
            PermissionDenied: another host that is alive has ports of the domain.
            InvalidRequest, NotFound, AlreadyExists, Exhausted: an interface can't be attached as requested.
            FailedPrecondition: it requests security groups, which the control service does not know.
        """
        request = api.AttachDomainRequest(host=host, domain=domain_message(domain), running=running)
        found = self._call("AttachDomain", request, deadline, api.AttachDomainResponse)
        if not found.knows_security_groups:
            for interface in domain.interfaces:
                if interface.request.security_groups is not None:
                    raise FailedPrecondition(
                        f"domain {domain.name}: interface {interface.mac}: the control service is of an earlier version"
                        " that knows no security groups",
                        "upgrade all control hosts",
                    )
        return AttachResult(found.arrives, tuple(map(refusal_of, found.refused)), tuple(found.pending_until_restart))

    def roll_back(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Delete the ports and leases that a failed start has created."""
        self._change("RollBackStart", domain, host, deadline)

    def detach(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Delete a domain's ports on the host, or, during a migration, leave them to the other host."""
        self._change("DetachDomain", domain, host, deadline)

    def update_leases(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Update the leases of a stopped domain to its definition."""
        self._change("UpdateDomainLeases", domain, host, deadline)

    def release_leases(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Release all leases of a domain that no longer exists."""
        self._change("ReleaseDomainLeases", domain, host, deadline)

    def announce(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Request, as the destination of a migration, that a domain's ports may be bound here, too."""
        self._change("AnnounceMigration", domain, host, deadline, waits=True)

    def confirm_migration(self, domain: UUID, host: str, destination: str, deadline: Deadline) -> None:
        """Confirm, as the source, a requested migration of a domain."""
        request = api.ConfirmMigrationRequest(host=host, domain=str(domain), destination=destination)
        self._call("ConfirmMigration", request, deadline, api.DomainResponse)

    def finish_migration(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Complete a migration to the host."""
        self._change("FinishMigration", domain, host, deadline)

    def cancel_migration(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Cancel a migration from the host."""
        self._change("CancelMigration", domain, host, deadline)

    def inventory(self, domain: Domain, host: str, deadline: Deadline) -> Inventory:
        """Objects of a domain on the host, and its ports on others, as read from the database."""
        request = api.DomainRequest(host=host, domain=domain_message(domain))
        found = self._call("GetDomain", request, deadline, api.GetDomainResponse)
        return Inventory.of(host, filter(None, map(object_of, found.objects)))

    def report(
        self, host: str, report: Report, deadline: Deadline, next_hops: Collection[NextHop] = ()
    ) -> list[NextHop]:
        """Report the status of the host; return those of some next hops that have never answered a router here.

        Raises:
            NotFound: OVN does not know the host.
        """
        request = api.ReportHostRequest(
            host=host,
            agent_version=report.agent,
            ovs_version=report.ovs,
            uplinks_down=report.uplinks_down,
            problems=report.problems,
            mtu=report.mtu,
            networks=report.networks,
            foreign_networks=report.foreign_networks,
        )
        if report.serves_dns is not None:
            request.serves_dns = report.serves_dns
        request.next_hops.extend(api.NextHop(router=one.router, address=one.address) for one in next_hops)
        response = self._call("ReportHost", request, deadline, api.ReportHostResponse)
        return [NextHop(one.router, one.address) for one in response.silent_next_hops]

    def _change(self, method: str, domain: Domain, host: str, deadline: Deadline, *, waits: bool = False) -> None:
        request = api.DomainRequest(host=host, domain=domain_message(domain))
        self._call(method, request, deadline, api.DomainResponse, waits=waits)

    def _call(self, method: str, request: Any, deadline: Deadline, response: Any, *, waits: bool = False) -> Any:
        with _translated():
            called = Method(SERVICE, method, response, is_idempotent=True, waits=waits)
            return self._calls.call(called, request, deadline)


class HostStream:
    """Streams of the service ``Agents``: see HostUpdates.

    Args:
        calls: opens them.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @contextmanager
    def watch(self, host: str, revision: str) -> Iterator[Iterator[api.HostUpdate]]:
        """Open a stream of updates of a host's objects."""
        method = Method(SERVICE, "WatchHost", api.HostUpdate, is_idempotent=True)
        with _translated(), self._calls.stream(method, api.WatchHostRequest(host=host, revision=revision)) as updates:
            yield updates


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of services of an earlier version as Unavailable."""
    try:
        yield
    except UnknownMethod as error:
        raise Unavailable(error.message, error.hint) from error
