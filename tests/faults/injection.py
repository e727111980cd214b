"""Fault injection: a part of a lab is broken, and made whole again."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from lab import LabCloud, LabError, LabHost
from lab.chassis import UNDERLAY_BRIDGE
from lab.fabric import MANAGEMENT, UNDERLAY
from lab.process import Process, end_all, inside
from tests.faults.disturbance import Disturbance
from tests.faults.matrix import Component, Fault

LASTS = {Fault.KILL: 1.0, Fault.PAUSE: 10.0, Fault.SLOW: 10.0, Fault.RESTART: 0.0, Fault.CUT: 10.0}
"""Seconds from the beginning of a fault to its end; a daemon that was killed is started by systemd after a moment."""

STOPPED, GOES_ON = 0.3, 0.1
"""Seconds that a slow daemon is stopped, and goes on, by turns."""

ORDER = ("nb", "sb", "northd", "ovs-db", "ovs-vswitchd", "ovn-controller", "libvirtd", "control", "agent")
"""In which a host starts its daemons."""

_LOST_IN_A_CRASH = ("libvirt", "openvswitch", "ovn", "ovnhook")  # below /run


class Injection(Disturbance):
    """One fault of a daemon, or of a whole host.

    Args:
        cloud: the lab.
        part: what breaks.
        fault: how.
        hypervisor: the one that breaks, or whose part does.
    """

    def __init__(self, cloud: LabCloud, part: Component, fault: Fault, hypervisor: LabHost) -> None:
        self._cloud = cloud
        self._part, self._fault = part, fault
        self._host = cloud.control if part.central else hypervisor
        self._paused: list[Process] = []

    def begin(self) -> None:
        """Break it."""
        whole = self._part is Component.HYPERVISOR
        steps: dict[Fault, Callable[[], None]] = {
            Fault.KILL: self._crash if whole else self._daemon_kill,
            Fault.PAUSE: self._pause,
            Fault.SLOW: self._pause,
            Fault.RESTART: self._shut_down if whole else self._daemon_stop,
            Fault.CUT: self._cut,
        }
        steps[self._fault]()

    def hold(self) -> None:
        """Wait as long as the fault lasts."""
        if self._fault is not Fault.SLOW:
            time.sleep(LASTS[self._fault])
            return
        end = time.monotonic() + LASTS[self._fault]
        while time.monotonic() < end:
            time.sleep(STOPPED)
            self._signal(signal.SIGCONT)
            time.sleep(GOES_ON)
            self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """Make it whole."""
        if self._fault in (Fault.PAUSE, Fault.SLOW):
            self._signal(signal.SIGCONT)
        elif self._fault is Fault.CUT:
            for network in self._cables():
                self._cloud.fabric.restore(self._host, network)
        elif self._part is Component.HYPERVISOR:
            start_all(self._cloud, self._host)
        else:
            start(self._cloud, self._host, self._part.value)

    def _daemon_kill(self) -> None:
        self._host.daemon(self._part.value).kill()

    def _daemon_stop(self) -> None:
        self._host.daemon(self._part.value).stop()

    def _pause(self) -> None:
        daemon = None if self._part is Component.HYPERVISOR else self._host.daemon(self._part.value).process
        self._paused = [daemon] if daemon else inside(self._host.namespaces())
        self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._paused:
            process.signal(number)

    def _cables(self) -> tuple[str, ...]:
        if self._part is Component.HYPERVISOR:
            return (MANAGEMENT, UNDERLAY)
        return (UNDERLAY,) if self._part is Component.OVS_VSWITCHD else (MANAGEMENT,)

    def _cut(self) -> None:
        for network in self._cables():
            self._cloud.fabric.cut(self._host, network)

    def _crash(self) -> None:
        """The power goes: every process, and what was in memory."""
        for _ in range(3):  # again, for those that were just being started
            for process in inside(self._host.namespaces()):
                process.signal(signal.SIGKILL)
        end_all(inside(self._host.namespaces()), grace=0.1)
        for name in _LOST_IN_A_CRASH:
            folder = self._host.run_folder / name
            shutil.rmtree(folder)
            folder.mkdir()

    def _shut_down(self) -> None:
        """As systemd and libvirt-guests do it: the guests, then the daemons."""
        with suppress(LabError):  # libvirt may be in the midst of something: the rest is ended all the same
            for name in self._host.run(["virsh", "list", "--name"], timeout=10).stdout.split():
                self._host.run(["virsh", "destroy", name], check=False, timeout=10)
        for name in reversed(ORDER):
            if name in self._host.daemons:
                self._host.daemons[name].stop()
        self._crash()


def start(cloud: LabCloud, host: LabHost, name: str) -> None:
    """Start a daemon, and what a host's network configuration does when that is a switch."""
    host.daemon(name).start()
    if name == "ovs-vswitchd":
        address = f"{cloud.tunnel_address(host.name)}/24"
        host.run(["ip", "address", "replace", address, "dev", UNDERLAY_BRIDGE])
        host.run(["ip", "link", "set", UNDERLAY_BRIDGE, "up"])


def start_all(cloud: LabCloud, host: LabHost) -> None:
    """Start what does not run, in the order of a boot."""
    for name in ORDER:
        if name in host.daemons and not host.daemons[name].running:
            start(cloud, host, name)
