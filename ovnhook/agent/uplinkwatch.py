"""The interface that routers share with this host (ovnhook.hostnetwork.sharedinterface), watched."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork import sharedinterface
from ovnhook.hostnetwork.sharedinterface import DEVICE
from ovnhook.resources.hostvalues import HostRouter
from ovnhook.resources.router.values import DEFAULT_ROUTER, EXTERNAL_NETWORK

_log = logging.getLogger(__name__)

_INTERVAL = 30.0  # seconds, maximum between two looks
_TIMEOUT = 10.0  # seconds for one look


class UplinkWatch:
    """Keeps the MAC address of the shared interface that of the router, until it is stopped.

    Args:
        networks: returns the cloud's routers, or None while they are not known.
        beat: heartbeat of the loop.
    """

    def __init__(self, networks: Callable[[], HostNetworks | None], beat: Callable[[], None] = lambda: None) -> None:
        self._networks = networks
        self._beat = beat
        self._woken = threading.Event()
        self._is_stopped = False
        self._errors = LogOnce(_log, f"cannot set the MAC address of {DEVICE}")
        self._unconnected: tuple[tuple[str, str], ...] = ()  # with hints

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report."""
        return tuple(f"{what}: {hint}" for what, hint in self._unconnected)

    def check(self) -> list[CheckResult]:
        """Return the same, as of the last look."""
        return [CheckResult.manual(what, hint) for what, hint in self._unconnected]

    def run(self) -> None:
        """Run the loop."""
        while not self._is_stopped:
            self._woken.clear()
            self._beat()
            with self._errors.logged():
                self.look()
            self._woken.wait(random.uniform(0.5, 1.0) * _INTERVAL)

    def stop(self) -> None:
        """Stop the loop."""
        self._is_stopped = True
        self._woken.set()

    def wake(self) -> None:
        """Look soon: routers may have changed."""
        self._woken.set()

    def look(self) -> None:
        """Set the MAC address, if this host has the interface and a router uses it.

        Raises:
            OvnhookError: that failed.
        """
        networks = self._networks()
        if networks is None:
            return
        users = _users(networks)
        if not (users and sharedinterface.set_mac(users[0].mac, Deadline.after(_TIMEOUT))):
            self._unconnected = ()
            return
        self._unconnected = tuple(
            (
                f"router {one.name} has no connection by {DEVICE}, which has the MAC address of router {users[0].name}",
                f"ovnhook router set {one.name} --no-external, or give {EXTERNAL_NETWORK} an interface of its own",
            )
            for one in users[1:]
        )


def _users(networks: HostNetworks) -> Sequence[HostRouter]:
    """Routers of the physical network, the default router first."""
    found = [one for one in networks.routers.values() if one.physical_network == EXTERNAL_NETWORK and one.mac]
    return sorted(found, key=lambda one: (one.name != DEFAULT_ROUTER, one.name))
