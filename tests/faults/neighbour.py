"""Another domain on the hypervisor that keeps libvirt waiting: by its QEMU, or by a hook that is called for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lab.domain import interface_xml
from lab.waiting import HANG
from tests.cloud.world import World
from tests.faults.disturbance import Disturbance
from tests.faults.hook_barrier import NEIGHBOUR, HookBarrier
from tests.faults.matrix import Component

NAME = "neighbour"

_MOST = 300.0  # seconds that it keeps libvirt waiting, should nobody end that


class Neighbour(Disturbance):
    """One fault of another domain's.

    Args:
        world: the lab.
        part: QEMU or HOOK.
        repaired: a domain of the same host of which something is broken, and has to be repaired, meanwhile.
    """

    def __init__(self, world: World, part: Component, repaired: str) -> None:
        self._world, self._host, self._part, self._repaired = world, world.hv1, part, repaired
        self._pool = ThreadPoolExecutor(1)
        self._gate: HookBarrier | None = None
        world.define(self._host, NAME, interface_xml(), dhcp="none")
        if part is Component.QEMU:
            self._host.run(["virsh", "start", "--paused", NAME], timeout=HANG)

    def begin(self) -> None:
        """Let libvirt wait."""
        if self._part is Component.QEMU:
            self._signal("STOP")
            command = ["virsh", "domstats", NAME]
        else:
            self._gate = HookBarrier(self._host, NEIGHBOUR, NAME, "prepare", _MOST)
            command = ["virsh", "start", "--paused", NAME]
        self._waits = self._pool.submit(self._host.run, command, check=False, timeout=_MOST + HANG)
        if self._gate:
            self._gate.wait_reached(HANG)

    def hold(self) -> None:
        """Break something of a guest that the host's agent repairs, and not its traffic; wait until it is repaired."""
        world = self._world
        (port,) = (row["name"] for row in world.ports(self._repaired))
        options = ["Logical_Switch_Port", port, "dhcpv4_options"]
        world.control.run(["ovn-nbctl", "clear", *options])

        def is_repaired() -> bool:
            return world.control.run(["ovn-nbctl", "get", *options]).stdout.strip() != "[]"

        world.wait_for(is_repaired, "another guest's port to be repaired", timeout=HANG)
        if self._waits.done():
            raise AssertionError("libvirt did not wait for the neighbour")

    def end(self) -> None:
        """Let libvirt go on."""
        if self._part is Component.QEMU:
            self._signal("CONT")
        elif self._gate:
            self._gate.open()
        self._waits.result()
        self._pool.shutdown()
        if self._gate:
            self._gate.remove()

    def _signal(self, name: str) -> None:
        pid = self._host.read(f"/run/libvirt/qemu/{NAME}.pid").strip()
        self._host.run(["kill", f"-{name}", pid])
