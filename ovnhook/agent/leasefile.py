"""libvirt's file of DHCP leases for the integration bridge, which ``virsh domifaddr`` and ``net-dhcp-leases`` read.

libvirt expects it from a dnsmasq that it has started for a network, and reads it for any network with a bridge
(networkGetDHCPLeases in libvirt's src/network/bridge_driver.c). All networks on a bridge share it. libvirt removes it
with each network on the bridge that is undefined.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.domains.inventory import Inventory

_log = logging.getLogger(__name__)

FOLDER = Path("/var/lib/libvirt/dnsmasq")
_NEVER = 253_370_764_800  # 9999-01-01: leases do not expire, and virsh shows 0 as 1970
_INTERVAL = 30.0  # seconds between looks at the file: somebody may have removed it
_BATCH = 0.5  # seconds in which changes are collected: many guests may start at once
_MODE = 0o644  # as libvirt's; libvirt's NSS module reads it, too
_FOLDER_MODE = 0o755


class LeaseFile:
    """Keeps the file until it is stopped.

    Args:
        config: name of the integration bridge, and whether there is to be a file.
        inventory: returns the host's objects, or raises Unavailable.
        beat: heartbeat of the loop.
    """

    def __init__(self, config: Config, inventory: Callable[[], Inventory], beat: Callable[[], None]) -> None:
        self._path = FOLDER / f"{config.integration_bridge}.status"
        self._is_wanted = config.libvirt_leases
        self._inventory = inventory
        self._beat = beat
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._errors = LogOnce(_log, "libvirt does not know the guests' addresses")

    def wake(self) -> None:
        """Write the file soon: ports have changed, or libvirt has removed it."""
        self._woken.set()

    def stop(self) -> None:
        """Stop the loop."""
        self._stop.set()
        self._woken.set()

    def run(self) -> None:
        """Run the loop."""
        while not self._stop.is_set():
            self._beat()
            with self._errors.logged():
                self.update()
            if self._woken.wait(_INTERVAL):
                self._stop.wait(_BATCH)
            self._woken.clear()

    def update(self) -> None:
        """Write the file if its content differs; delete it if it is not wanted."""
        if not self._is_wanted:
            self._path.unlink(missing_ok=True)
            return
        if not self._path.parent.parent.is_dir():  # no libvirt on this host
            return
        try:
            text = content(self._inventory())
        except Unavailable:  # the control service is away: keep what was known
            return
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_text(encoding="utf-8") == text:
                return
        if not self._path.parent.exists():  # libvirt makes it for its first dnsmasq
            self._path.parent.mkdir()
            self._path.parent.chmod(_FOLDER_MODE)
        new = self._path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.chmod(_MODE)
        new.replace(self._path)


def content(inventory: Inventory) -> str:
    """Addresses of the ports of a host, in the format of libvirt's ``libvirt_leaseshelper``."""
    leases = [
        {
            "ip-address": str(address),
            "mac-address": port.mac,
            **({"hostname": lease.hostname} if (lease := inventory.leases.get((port.subnet, address))) else {}),
            "expiry-time": _NEVER,
        }
        for port in inventory.ports.values()
        for address in port.addresses
    ]
    return (
        json.dumps(sorted(leases, key=lambda one: (str(one["mac-address"]), str(one["ip-address"]))), indent=2) + "\n"
    )
