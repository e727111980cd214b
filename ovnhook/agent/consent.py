"""Consent to migrations, by the agent of their source.

A destination may bind a domain's ports only when their host has confirmed that libvirt is migrating the domain. libvirt
is asked at once, beside the reconciler, which may be busy for seconds: a hook waits at the destination. Since libvirt
does not say where a domain goes to, the first host that requests it has it until the migration has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition
from ovnhook.base.logonce import LogOnce
from ovnhook.resources.lease.values import LeaseIndex

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 4  # each may wait for libvirt


class MigrationConsent:
    """Confirms migrations that libvirt carries out.

    Args:
        migrates: returns whether libvirt is migrating a domain to another host.
        confirm: confirms the migration of a domain to a destination.
        timeout: seconds for which a destination waits.
    """

    def __init__(
        self,
        migrates: Callable[[UUID], bool],
        confirm: Callable[[UUID, str, Deadline], None],
        timeout: float,
    ) -> None:
        self._migrates = migrates
        self._confirm = confirm
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, "migration")
        self._errors = LogOnce(_log, "migration not confirmed")

    def consider(self, requested: LeaseIndex) -> None:
        """Confirm a requested migration in another thread, if libvirt carries it out."""
        self._threads.submit(self._answer, requested, Deadline.after(self._timeout))

    def _answer(self, requested: LeaseIndex, deadline: Deadline) -> None:
        domain, name, destination = requested.domain, requested.domain_name, requested.requested_by
        try:
            deadline.check(f"domain {name}: {destination} no longer waits")
            if other := {requested.moving_to} - {"", destination}:
                raise FailedPrecondition(f"domain {name}: {destination} requests it, but it goes to {other.pop()}")
            if not self._migrates(domain):
                raise FailedPrecondition(f"domain {name}: {destination} requests it, but libvirt is not migrating it")
            self._confirm(domain, destination, deadline)
        except Exception as error:
            self._errors.failed(error, (domain, destination))
        else:
            self._errors.succeeded((domain, destination))
            _log.info("domain %s: confirmed its migration to %s", name, destination)
