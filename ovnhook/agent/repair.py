"""Repair of single differences, with their domain locked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import assert_never
from uuid import UUID

from ovnhook.agent import domainstates
from ovnhook.agent.host import Host
from ovnhook.agent.hypervisor import DomainState, DomainStates, Hypervisor
from ovnhook.agent.locks import DomainLocks
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.diagnosis.differences import compare
from ovnhook.diagnosis.values import (
    Attach,
    CancelMigration,
    Detach,
    Difference,
    Domains,
    FinishMigration,
    ManualRepair,
    ReleaseLeases,
    Repair,
    Unplug,
    UpdateLeases,
    domain_of,
)
from ovnhook.domains.values import Domain

_TIMEOUT = 10.0  # seconds for one read


class Repairer:
    """Repairs differences one by one, each with its domain locked.

    Args:
        config: integration bridge and deadline of operations.
        host: reads and repairs.
        domains: locks shared with hook calls.
        hypervisor: libvirt's domains.
    """

    def __init__(self, config: Config, host: Host, domains: DomainLocks, hypervisor: Hypervisor) -> None:
        self._config = config
        self._host = host
        self._domains = domains
        self._hypervisor = hypervisor

    def repair(self, difference: Difference) -> None:
        """Repair a difference if it still exists, and verify the repair.

        Raises:
            Unavailable: the control service, Open vSwitch or libvirt is unreachable, or a hook call for the domain is
                in progress.
            OvnhookError: the repair failed, or has to be done by the administrator.
        """
        domain = domain_of(difference.repair)
        read_at = time.monotonic()
        # Before the domain is locked: libvirt may wait for a hook that waits for the lock.
        domains = self._domains_of(domain, difference) if domain else Domains({}, {})
        with self.hold(domain, read_at) if domain else nullcontext(Deadline.after(_TIMEOUT)) as deadline:
            now = self._recheck(difference, domains, deadline)
            if now is None:
                return
            self._apply(now.repair, deadline)
            if self._recheck(difference, domains, Deadline.after(_TIMEOUT)):
                raise OvnhookError("the difference persists after the repair")

    def _domains_of(self, domain: UUID, difference: Difference) -> Domains:
        seen = self.ask(domain, is_moving=isinstance(difference.repair, CancelMigration))
        found = {domain: seen} if seen else {}
        return domainstates.domains(DomainStates(found), self._config.integration_bridge)[0]

    def ask(self, domain: UUID, *, is_moving: bool = False) -> DomainState | None:
        """Query libvirt for one domain.

        Raises:
            Unavailable: libvirt does not respond, or is starting or stopping the domain.
        """
        if domain in self._domains.in_transition():
            raise Unavailable("libvirt is starting or stopping it")
        return self._hypervisor.domain(domain, is_moving=is_moving)

    def _recheck(self, difference: Difference, domains: Domains, deadline: Deadline) -> Difference | None:
        """Read a difference again, by key; None if it is gone."""
        uuid = domain_of(difference.repair)
        if uuid is None:
            return difference  # not readable by key; left to the administrator
        known_to_libvirt = (*(run.domain for run in domains.running.values()), *domains.defined.values())
        macs = {mac for one in known_to_libvirt for mac in (*one.macs, *one.defined_only_macs)}
        macs |= {difference.interface} - {""}
        vswitch = self._host.vswitch
        host = vswitch.chassis(deadline)
        inventory = self._host.control.inventory(Domain(uuid, str(uuid), macs=tuple(sorted(macs))), host, deadline)
        found = compare(host, inventory, vswitch.taps(deadline), domains)
        return next((one for one in found if one == difference), None)

    def _apply(self, repair: Repair, deadline: Deadline) -> None:
        match repair:
            case Attach(domain):
                if refused := self._host.attach(domain, deadline, running=True).refused:
                    raise refused[0]  # the other interfaces are separate differences
            case Detach(domain):
                self._host.detach(domain, deadline)
            case FinishMigration(uuid):
                self._host.finish_migration(uuid, deadline)
            case CancelMigration(uuid):
                self._host.cancel_migration(uuid, deadline)
            case ReleaseLeases(uuid):
                self._host.release_leases(uuid, deadline)
            case UpdateLeases(domain):
                self._host.update_leases(domain, deadline)
            case Unplug(device, tap):
                self._host.vswitch.unplug(device, tap, deadline)
            case ManualRepair(hint):
                raise OvnhookError("manual repair needed", hint)
            case _:
                assert_never(repair)

    @contextmanager
    def hold(self, domain: UUID, read_at: float = float("inf")) -> Iterator[Deadline]:
        """Lock a domain whose state was read at a time of the monotonic clock; yields the deadline.

        Raises:
            Unavailable: another operation on it is in progress, or there was a hook call since.
        """
        deadline = Deadline.after(self._config.deadline)
        with self._domains.hold(domain, deadline):
            if self._domains.last_request(domain) >= read_at:
                raise Unavailable("libvirt has started or stopped it meanwhile")
            yield deadline
