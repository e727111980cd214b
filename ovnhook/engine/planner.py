"""The plan of an attach: the database is read, interfaces are placed, addresses allocated, changes made of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import fitness, plan, presence
from ovnhook.domains.choice import Placement
from ovnhook.domains.place import place
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
        placements: where each went; none where the domain was left alone.
        arrives: whether it is on its way from another host, which has it still.
        refused: why others of a running domain have no network.
        pending_until_restart: requests of its metadata that take effect at its next start, in words.
    """

    placements: tuple[Placement, ...] = ()
    arrives: bool = False
    refused: tuple[OvnhookError, ...] = ()
    pending_until_restart: tuple[str, ...] = ()


class Attaching:
    """An attach that is planned, as often as it takes.

    Args:
        northbound: what is read, and is to be changed.
        own_subnets: plans the domain's own subnet.
        domain: as of `Attachment.attach`, like the others.
        host: the chassis that it runs on.
        running: whether it runs already.
        take_over: whether it may have ports that are another host's.

    Attributes:
        attached: what becomes of the interfaces when what was planned last is committed.
        hostnames: as far as was learned on the way.
    """

    def __init__(
        self,
        northbound: Northbound,
        own_subnets: OwnSubnets,
        domain: Domain,
        host: str,
        *,
        running: bool,
        take_over: bool,
    ) -> None:
        self._northbound = northbound
        self._own_subnets = own_subnets
        self._domain = domain
        self._host = host
        self._running = running
        self._take_over = take_over
        self.attached = Attached()
        self.hostnames = HostNames({interface.request.hostname for interface in domain.interfaces})

    def plan(self, deadline: Deadline) -> Sequence[Change]:
        """Read what there is, and plan what has to change."""
        self.attached = Attached()  # whatever was planned before was not committed
        northbound, running = self._northbound, self._running
        observed = read.domain_rows(northbound, self._domain, deadline)
        arrives = presence.arrives(observed, self._host)
        domain = fitness.accepted(self._domain, observed, runs=running or arrives)
        if not (running or domain.interfaces):
            return ()
        observed = read.referenced_rows(northbound, domain, observed, deadline)
        if running and presence.is_elsewhere(observed, self._host):
            return ()
        if not self._take_over:
            presence.refuse_elsewhere(domain, observed, self._host)
        made, observed = self._own_subnets.create_missing(domain, observed, deadline)
        placed = place(domain, self._domain, self._host, observed, self.hostnames.taken, running=running)
        if running:
            placed = holders.refuse_taken(northbound, domain, placed, observed, deadline)
        else:
            placed.check()
        placed = allocate(northbound, domain, placed, deadline)
        if not running:
            placed.check()
        for words in placed.warnings:
            _log.warning("%s", words)
        pending_until_restart = plan.pending_until_restart(self._domain, observed) if running else ()
        self.attached = Attached(placed.placements, arrives, placed.refused, pending_until_restart)
        return (*made, *plan.attach(domain, self._host, placed.placements, observed))
