"""The plan of an attach: read the database, place the interfaces, allocate addresses, and return the changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted, OvnhookError
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import fitness, plan, presence
from ovnhook.domains.choice import Placement
from ovnhook.domains.place import place
from ovnhook.domains.presence import FindState
from ovnhook.domains.values import Domain
from ovnhook.engine import holders, read
from ovnhook.engine.allocate import allocate
from ovnhook.engine.ownsubnet import OwnSubnets
from ovnhook.engine.unblock import HostNames
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attached:
    """The result of an attach.

    Attributes:
        placements: subnet and addresses of each interface; empty if nothing was attached.
        arrives: True if the domain is migrating here from another host.
        refused: errors of interfaces of a running domain that could not be attached.
        pending_until_restart: messages about requests of its metadata that take effect at the next start.
    """

    placements: tuple[Placement, ...] = ()
    arrives: bool = False
    refused: tuple[OvnhookError, ...] = ()
    pending_until_restart: tuple[str, ...] = ()


class AttachPlanner:
    """Plans one attach, again after each conflict.

    Args:
        northbound: northbound database.
        own_subnets: plans the domain's isolated subnet.
        domain: as of `Attachment.attach`, like the other arguments.
        host: chassis that runs it.
        running: True for a domain that runs, False for a start.
        find_state: returns the state of the agent of another host.
        rows_left: returns how many ports, leases and lease indexes the host may create.
        default_subnet: name of the default subnet, as it was read last.

    Attributes:
        attached: result of the attach once the last changes are committed.
        default_subnet: the same, "" if it could not be read.
        hostnames: host names of other domains, as learned from conflicts.
    """

    def __init__(
        self,
        northbound: Northbound,
        own_subnets: OwnSubnets,
        domain: Domain,
        host: str,
        *,
        running: bool,
        find_state: FindState,
        rows_left: Callable[[], float],
        default_subnet: str,
    ) -> None:
        self._northbound = northbound
        self._own_subnets = own_subnets
        self._domain = domain
        self._host = host
        self._running = running
        self._find_state = find_state
        self._rows_left = rows_left
        self.attached = Attached()
        self.default_subnet = default_subnet
        self.hostnames = HostNames({interface.request.hostname for interface in domain.interfaces})

    def changes(self, deadline: Deadline) -> Sequence[Change]:
        """Read the current state and return the changes."""
        self.attached = Attached()  # the previous changes were not committed
        northbound, running = self._northbound, self._running
        places, self.default_subnet = read.expected_places(self._domain, self.default_subnet), ""
        observed = read.domain_rows(northbound, self._domain, places, deadline)
        self.default_subnet = observed.registry.default_subnet if observed.registry else ""
        arrives = presence.arrives(observed, self._host)
        domain = fitness.accepted(self._domain, observed, runs=running or arrives)
        if not (running or domain.interfaces):
            return ()
        observed = read.referenced_rows(northbound, domain, places, observed, deadline)
        presence.refuse_other_owner(domain, observed)
        if running and presence.is_elsewhere(observed, self._host):
            return ()
        presence.refuse_elsewhere(domain, observed, self._host, self._find_state)
        made, observed = self._own_subnets.create_missing(domain, observed, deadline)
        placed = place(domain, self._domain, self._host, observed, self.hostnames.taken, running=running)
        if running:
            placed = holders.refuse_taken(northbound, domain, placed, observed, deadline)
        else:
            placed.check()
        placed = allocate(northbound, domain, placed, deadline)
        if not running:
            placed.check()
        for warning in placed.warnings:
            _log.warning("%s", warning)
        pending = plan.pending_until_restart(self._domain, observed) if running else ()
        self.attached = Attached(placed.placements, arrives, placed.refused, pending)
        changes = (*made, *plan.attach(domain, self._host, placed.placements, observed))
        self._check_room(plan.created(changes))
        return changes

    def _check_room(self, created: int) -> None:
        if created and created > self._rows_left():
            raise Exhausted(
                f"domain {self._domain.name}: host {self._host} has the maximum number of ports and leases",
                "undefine domains that are no longer needed there",
            )
