"""Operations on domains that the agent and the control service share: attach, detach, release leases and others.

Each is idempotent, respects its deadline, and changes the northbound database in one transaction. Each is refused for a
domain that has another owner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from netaddr import IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.databases import queries
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import migration, plan, presence
from ovnhook.domains.presence import AgentState, FindState
from ovnhook.domains.values import Domain
from ovnhook.engine import holders
from ovnhook.engine.commit import MakeChanges, carry_out, once, tries
from ovnhook.engine.ownsubnet import OwnSubnets
from ovnhook.engine.planner import Attached, AttachPlanner
from ovnhook.engine.request import Request, now
from ovnhook.engine.unblock import HostNames, unblock
from ovnhook.ovsdb.connection import ConstraintViolation
from ovnhook.resources.kind import Change, deleted
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.port.values import Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.request import Underlay
from ovnhook.resources.subnet.values import isolated_subnet


class Attachment:
    """Creates and deletes ports and leases of domains, on any host. Thread-safe.

    Every method raises Unavailable if the database does not answer in time.

    Args:
        northbound: northbound database.
        pool: network from which isolated subnets of domains are allocated.
        measure_underlay: measures the underlay's MTU; called when an isolated subnet is created.
    """

    def __init__(
        self, northbound: Northbound, pool: IPNetwork, measure_underlay: Callable[[Deadline], Underlay]
    ) -> None:
        self.northbound = northbound
        self._own_subnets = OwnSubnets(northbound, pool, measure_underlay)
        self._default_subnet = ""  # its name, as it was read last

    def attach(
        self,
        domain: Domain,
        host: str,
        deadline: Deadline,
        *,
        running: bool = False,
        find_state: FindState = lambda _: AgentState.DEAD,
        rows_left: Callable[[], float] = lambda: math.inf,
    ) -> Attached:
        """Create the port and the leases of every interface of a domain.

        Example::

            attachment = Attachment(northbound, IPNetwork("10.224.0.0/12"), measure_underlay)
            attached = attachment.attach(domain, "hv1", Deadline.after(2.5))
            addresses = {one.interface.mac: one.addresses for one in attached.placements}

        Args:
            domain: desired state; ports and leases of interfaces that it does not have are deleted.
            host: chassis that runs it.
            deadline: when to give up.
            running: False for a start: ports of a dead host are taken over, unless the domain migrates from there, and
                any invalid interface fails the attach. True for a domain that runs: nothing is changed if another host
                has its ports, or while it migrates; its interfaces keep their subnets and addresses, and an invalid
                interface does not block the others.
            find_state: returns the state of the agent of another host that has ports of the domain.
            rows_left: returns how many ports, leases and lease indexes the host may create.

        Raises:
            PermissionDenied: another host has ports of the domain, and is alive.
            FailedPrecondition: the domain has another owner.
            InvalidRequest, NotFound, AlreadyExists, Exhausted: an interface can't be attached as requested.
        """
        planner = AttachPlanner(
            self.northbound,
            self._own_subnets,
            domain,
            host,
            running=running,
            find_state=find_state,
            rows_left=rows_left,
            default_subnet=self._default_subnet,
        )
        try:
            self._commit(lambda: planner.changes(deadline), deadline, planner.hostnames)
        except ConstraintViolation as error:
            raise holders.of_interface_id(self.northbound, domain, error, deadline) from error
        finally:
            self._default_subnet = planner.default_subnet
        return planner.attached

    def announce(
        self, domain: Domain, host: str, deadline: Deadline, find_state: FindState = lambda _: AgentState.DEAD
    ) -> None:
        """Prepare a migration: add the destination to the requested chassis of the domain's ports.

        A source whose agent is alive has to confirm it (`confirm_migration`); this waits for that.

        Args:
            domain: the domain.
            host: the destination.
            deadline: when to give up; the request is withdrawn before.
            find_state: returns the state of a host's agent.

        Raises:
            Unavailable: the source did not confirm it.
            PermissionDenied, FailedPrecondition: as of `ovnhook.domains.migration.request`.
        """
        request = Request(self.northbound, domain.uuid, host, deadline)

        def make() -> Sequence[Change]:
            observed = self._observe(domain, deadline)
            changes, request.source = migration.request(domain, observed, host, now(), request.until, find_state)
            return changes

        self._commit(make, deadline)
        if request.source and not request.wait():
            self._commit(lambda: migration.withdraw(self._observe(domain, deadline), host, request.until), deadline)
            request.check(domain)

    def confirm_migration(self, domain: Domain, host: str, destination: str, deadline: Deadline) -> None:
        """Confirm a requested migration as its source.

        Raises:
            FailedPrecondition: the domain is on another host, or the destination does not request it.
        """
        self._commit(
            lambda: migration.confirm(domain, self._observe(domain, deadline), host, destination, now()), deadline
        )

    def finish_migration(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Complete a migration: make the destination the only requested chassis of the domain's ports."""
        self._commit(lambda: migration.finish(self._observe(domain, deadline), host), deadline)

    def cancel_migration(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Cancel a migration: make the source the only requested chassis of the domain's ports again."""
        self._commit(lambda: migration.cancel(self._observe(domain, deadline), host), deadline)

    def detach(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Delete a domain's ports on a host, or, during a migration, leave them to the other host. Leases are kept."""
        self._commit(lambda: plan.leave(self._observe(domain, deadline), host), deadline)

    def roll_back(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Roll back a failed start: delete the ports and leases that it has created."""

        def make() -> Sequence[Change]:
            changes = plan.roll_back(domain, host, self._observe(domain, deadline))
            own = isolated_subnet(domain.uuid)
            given = any(lease.subnet == own for lease in deleted(LEASE, changes))
            return self._with_own_subnet(domain, changes, deadline) if given else changes

        self._commit(make, deadline)

    def update_leases(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Update the leases of a stopped domain to its definition, if this host was the last one to attach it."""
        hostnames = HostNames({name for _, name in domain.hostnames})

        def make() -> Sequence[Change]:
            changes = plan.apply_definition(domain, self._observe(domain, deadline), host, hostnames.taken)
            return self._with_own_subnet(domain, changes, deadline) if changes else ()

        self._commit(make, deadline, hostnames)

    def release_leases(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Release all leases of an undefined domain, if this host was the last one to attach it."""

        def make() -> Sequence[Change]:
            return self._with_own_subnet(domain, plan.release_leases(self._observe(domain, deadline), host), deadline)

        self._commit(make, deadline)

    def remove(self, port: Port, deadline: Deadline) -> None:
        """Delete a port with its leases, and the domain's isolated subnet if that was the last port there."""
        domain = Domain(port.domain, port.domain_name, macs=(port.mac,), kept_by=port.kept_by)

        def make() -> Sequence[Change]:
            return self._with_own_subnet(domain, plan.remove_interface(port, self._observe(domain, deadline)), deadline)

        self._commit(make, deadline)

    def domain(self, domain: Domain, deadline: Deadline) -> Observed:
        """Read a domain's lease index, and its ports and leases on any host, with their subnets."""
        observed = self.northbound.observe_with_leases(domain.uuid, domain.macs, deadline)
        ports = observed.ports.values()
        places = {(port.subnet, address) for port in ports for address in port.addresses} - observed.leases.keys()
        missing = {port.subnet for port in ports} - observed.subnets.keys()
        return self.northbound.query(observed, (queries.subnets(missing), queries.leases(places)), deadline)

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Commit changes that were planned elsewhere; after a conflict they have to be planned again."""
        once(self.northbound, changes, deadline)

    def _observe(self, domain: Domain, deadline: Deadline) -> Observed:
        """Read all rows of a domain, also those of interfaces that its XML no longer has.

        Raises:
            FailedPrecondition: the domain has another owner.
        """
        observed = self.northbound.observe_with_leases(domain.uuid, domain.macs, deadline)
        presence.refuse_other_owner(domain, observed)
        return observed

    def _with_own_subnet(self, domain: Domain, changes: Sequence[Change], deadline: Deadline) -> Sequence[Change]:
        """Add the deletion of the domain's isolated subnet, if the changes leave it empty."""
        return (*changes, *self._own_subnets.delete_empty(domain, changes, deadline))

    def _commit(self, make: MakeChanges, deadline: Deadline, hostnames: HostNames | None = None) -> None:
        """Plan and commit; repeat after a conflict."""
        known = hostnames or HostNames()
        carry_out(
            self.northbound,
            make,
            deadline,
            unblock=lambda changes: unblock(self.northbound, known, changes, deadline),
            outage_tries=tries(self.northbound),
        )
