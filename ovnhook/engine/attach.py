"""The verbs that hosts and the control service share: attach a domain on a host, detach it, forget it.

Each may be repeated, each ends by its deadline, and each changes the northbound database in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netaddr import IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import migration, plan
from ovnhook.domains.values import Domain
from ovnhook.engine import holders
from ovnhook.engine.commit import Plan, carry_out, tries
from ovnhook.engine.ownsubnet import OwnSubnets
from ovnhook.engine.planner import Attached, Attaching
from ovnhook.engine.unblock import HostNames, unblock
from ovnhook.ovsdb.connection import ConstraintViolation
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.port.values import Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.request import Underlay
from ovnhook.resources.subnet.values import isolated_subnet


class Attachment:
    """Gives domains their ports and leases, and takes them away, on whichever host. Safe to share between threads.

    Every method raises Unavailable when the database did not answer in time.

    Args:
        northbound: where they are.
        pool: the network that domains' own subnets are carved from.
        carried: tells the underlay, by a deadline; asked when a domain's own subnet is made.
    """

    def __init__(self, northbound: Northbound, pool: IPNetwork, carried: Callable[[Deadline], Underlay]) -> None:
        self.northbound = northbound
        self._own_subnets = OwnSubnets(northbound, pool, carried)

    def attach(
        self, domain: Domain, host: str, deadline: Deadline, *, running: bool = False, take_over: bool = True
    ) -> Attached:
        """Give every interface of a domain its port and its address.

        Args:
            domain: with its interfaces as they are to be: what it holds for others is given back.
            host: the chassis that it runs on.
            deadline: when to give up.
            running: whether it runs already. When a domain starts, ports that are another host's become this host's,
                unless it arrives from that one. One that runs is left alone if it has such ports, or migrates; its
                interfaces stay on their subnets with their addresses, and one that can't be attached does not keep the
                others from it.
            take_over: whether it may have ports that are another host's.

        Raises:
            PermissionDenied: it may not, and has one.
            InvalidRequest, NotFound, AlreadyExists, Exhausted: the domain asks for something that can't be.
        """
        attaching = Attaching(self.northbound, self._own_subnets, domain, host, running=running, take_over=take_over)
        try:
            self._commit(lambda: attaching.plan(deadline), deadline, attaching.hostnames)
        except ConstraintViolation as error:
            raise holders.of_interface_id(self.northbound, domain, error, deadline) from error
        return attaching.attached

    def announce(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Let a host bind a domain's ports beside the one that it runs on: it is about to migrate there."""
        self._commit(lambda: migration.announce(self._observe(domain, deadline), host), deadline)

    def arrive(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make a host the only one of a domain's ports: the domain has migrated there."""
        self._commit(lambda: migration.arrive(self._observe(domain, deadline), host), deadline)

    def stay(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make a host the only one of a domain's ports again: the domain is not leaving it after all."""
        self._commit(lambda: migration.cancel(self._observe(domain, deadline), host), deadline)

    def detach(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Take a domain's ports of a host away, or, in a migration, leave them to the other host; its leases stay."""
        self._commit(lambda: plan.leave(self._observe(domain, deadline), host), deadline)

    def roll_back(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Take back what this run of a domain was given, because it failed to start."""

        def make() -> Sequence[Change]:
            changes = plan.roll_back(domain, host, self._observe(domain, deadline))
            own = isolated_subnet(domain.uuid)
            given = any(put.old and put.old.subnet == own for put in puts(LEASE, changes) if put.new is None)
            return self._with_end(domain, changes, deadline) if given else changes

        self._commit(make, deadline)

    def keep(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make what a stopped domain holds fit to its definition, if that host was the last one to attach it."""
        hostnames = HostNames({name for _, name in domain.hostnames})

        def make() -> Sequence[Change]:
            changes = plan.apply_definition(domain, self._observe(domain, deadline), host, hostnames.taken)
            return self._with_end(domain, changes, deadline) if changes else ()

        self._commit(make, deadline, hostnames)

    def forget(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Give back all that a domain holds that exists no more, if that host was the last one to attach it."""

        def make() -> Sequence[Change]:
            return self._with_end(domain, plan.forget(self._observe(domain, deadline), host), deadline)

        self._commit(make, deadline)

    def remove(self, port: Port, deadline: Deadline) -> None:
        """End one interface of a domain: its port, its leases, and the domain's own subnet if that was its last one."""
        domain = Domain(port.domain, port.domain_name, macs=(port.mac,))

        def make() -> Sequence[Change]:
            return self._with_end(domain, plan.remove_interface(port, self._observe(domain, deadline)), deadline)

        self._commit(make, deadline)

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Carry out changes that were planned elsewhere."""
        self._commit(lambda: changes, deadline)

    def _observe(self, domain: Domain, deadline: Deadline) -> Observed:
        """All there is of a domain: also of interfaces that its XML does not have any more."""
        return self.northbound.observe_with_leases(domain.uuid, domain.macs, deadline)

    def _with_end(self, domain: Domain, changes: Sequence[Change], deadline: Deadline) -> Sequence[Change]:
        """Changes, and what ends the domain's own subnet if they leave nothing in it."""
        return (*changes, *self._own_subnets.end(domain, changes, deadline))

    def _commit(self, make: Plan, deadline: Deadline, hostnames: HostNames | None = None) -> None:
        """Plan and commit, again whenever somebody else was faster."""
        known = hostnames or HostNames()
        carry_out(
            self.northbound,
            make,
            deadline,
            unblock=lambda changes: unblock(self.northbound, known, changes, deadline),
            outage_tries=tries(self.northbound),
        )
