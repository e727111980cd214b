"""A lab with a guest on each hypervisor, in which cells of the fault matrix are run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from lab import CommandError, Guest, LabCloud, LabError, LabHost, WaitError
from lab.domain import interface_xml
from lab.pings import Pings
from lab.waiting import HANG
from tests.cloud.world import World
from tests.faults.disturbance import Disturbance
from tests.faults.hook_barrier import AFTER, BEFORE, HookBarrier
from tests.faults.injection import Injection, start_all
from tests.faults.invariants import differences
from tests.faults.manual_changes import OUTSIDE, ROUTER, SUBNET, ManualAddition, ManualAlteration
from tests.faults.matrix import FOREIGN, NEIGHBOURS, OWN, Cell, Situation, Traffic
from tests.faults.neighbour import NAME, Neighbour
from tests.faults.observed import observe

HALF_A_MINUTE = 30.0
RATE = 5  # pings a second
MOST_LOST = 2  # of them, where the traffic is kept

RUNNER, WITNESS, SUBJECT = "runner", "witness", "subject"


@contextmanager
def cell_runner(prefix: str, within: float = HALF_A_MINUTE) -> Iterator[CellRunner]:
    """A lab of this prefix, with the two guests; all has to be as expected within some seconds after a fault."""
    with LabCloud(prefix) as cloud:
        world = World(cloud)
        way_out = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", OUTSIDE)
        world.ovnhook("router", "set", ROUTER, *way_out)
        world.ovnhook("subnet", "create", SUBNET, "10.10.0.0/24", "--default")
        yield CellRunner(world, within)


class CellRunner:
    """Runs cells, one after the other."""

    def __init__(self, world: World, within: float) -> None:
        self.world = world
        self.within = within

    def stuck_guests(self) -> list[str]:
        """The guests whose kernels QEMU has broken."""
        return self.world.stuck_guests()

    def run(self, cell: Cell) -> list[str]:
        """Run a cell; what did not hold, in words."""
        world = self.world
        self._set()
        wrong: list[str] = []
        if cell.situation.operation is Situation.DESTROY:
            world.define(world.hv1, SUBJECT, interface_xml(), dhcp="none")
            world.hv1.run(["virsh", "start", "--paused", SUBJECT], timeout=HANG)
        elif cell.situation.operation is Situation.START:
            world.define(world.hv1, SUBJECT, interface_xml(), dhcp="none")
        elif cell.situation.operation is Situation.MIGRATION:
            self._boot(world.hv2, SUBJECT)
        self.settle()
        pings = Pings(Guest(world.hv2, WITNESS), self._address(RUNNER), RATE)
        disturbance = self._disturbance(cell, pings.guest)
        with ThreadPoolExecutor(1) as pool:
            operation, barrier = self._begin(cell, pool)
            try:
                disturbance.begin()
                if barrier:
                    barrier.open()
                disturbance.hold()
            finally:
                disturbance.end()
                if barrier:
                    barrier.remove()
            wrong += _outcome(operation, cell)
        wrong += self._responds()
        wrong += self.heals()
        wrong += self._traffic(cell, pings)
        wrong += disturbance.wrong()
        wrong += self._clear()
        disturbance.withdraw()
        return wrong

    def _disturbance(self, cell: Cell, guest: Guest) -> Disturbance:
        """What a cell does to the lab; `guest` runs all the while."""
        if cell.part in NEIGHBOURS:
            return Neighbour(self.world, cell.part, RUNNER)
        if cell.part in FOREIGN:
            return ManualAddition(self.world, cell.part, guest, SUBJECT)
        if cell.part in OWN:
            return ManualAlteration(self.world, cell.part, cell.fault, guest)
        return Injection(self.world.cloud, cell.part, cell.fault, self.world.hv1)

    # -- before

    def _set(self) -> None:
        """The two guests run, and nothing else."""
        world = self.world
        for host in world.cloud.hosts.values():
            start_all(world.cloud, host)
        for host, name in ((world.hv1, RUNNER), (world.hv2, WITNESS)):
            if not self._runs(name):
                self._boot(host, name)

    def _boot(self, host: LabHost, name: str) -> None:
        """Start a guest that has its address without asking for it."""
        if name not in host.run(["virsh", "list", "--all", "--name"], timeout=HANG).stdout.split():
            self.world.define(host, name, interface_xml(), dhcp="none")
        guest = self.world.start(host, name, timeout=HANG)
        address = f"ip link set eth0 up; ip address replace {self._address(name)}/24 dev eth0"
        guest.console(f"{address}; ip route replace default via 10.10.0.1", timeout=HANG)

    def _runs(self, name: str) -> bool:
        hosts = self.world.cloud.hypervisors
        return any(name in host.run(["virsh", "list", "--name"], timeout=HANG).stdout.split() for host in hosts)

    def _address(self, name: str) -> str:
        (address,) = self.world.leases(name).values()
        return address

    def settle(self) -> None:
        """Wait until all is as it should be.

        Raises:
            LabError: it does not become so.
        """
        left = self.heals()
        if left:
            raise LabError("before anything was done: " + "; ".join(left))

    # -- meanwhile

    def _begin(self, cell: Cell, pool: ThreadPoolExecutor) -> tuple[Future[None] | None, HookBarrier | None]:
        """Begin what goes on, and wait until it has come to the step where the fault is to happen."""
        hv1, hv2, step = self.world.hv1, self.world.hv2, cell.step
        if step is None:
            return None, None
        hook, held = AFTER if step.answered else BEFORE, hv2 if step.on_source else hv1
        barrier = HookBarrier(held, hook, SUBJECT, step.hook)
        host, command = {
            Situation.START: (hv1, ["virsh", "start", "--paused", SUBJECT]),
            Situation.DESTROY: (hv1, ["virsh", "destroy", SUBJECT]),
            Situation.MIGRATION: (hv2, self.world.cloud.migrate_argv(SUBJECT, hv1.name)),
        }[cell.situation.operation]
        operation = pool.submit(_call, host, command)
        barrier.wait_reached(HANG, operation.done)
        return operation, barrier

    # -- afterwards

    def _responds(self) -> list[str]:
        """Whether libvirt answers on both hosts."""
        wrong = []
        for host in self.world.cloud.hypervisors:
            try:
                _call(host, ["virsh", "list", "--all"])
            except CommandError as error:
                wrong.append(f"libvirt does not answer: {error}")
        return wrong

    def heals(self) -> list[str]:
        """What differs from what is wanted when the time is over, unless it is all well before."""
        end = time.monotonic() + self.within
        while True:
            try:
                found = differences(observe(self.world.cloud))
            except LabError as error:
                found = [f"could not look: {error}"]
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.3)

    def _traffic(self, cell: Cell, pings: Pings) -> list[str]:
        wrong = []
        if cell.traffic is not Traffic.ENDS:
            try:
                lost, _ = pings.settle(2)
            except WaitError as error:
                return [f"the traffic to {RUNNER} has not come back: {error}"]
            if cell.traffic is Traffic.KEPT and lost > MOST_LOST:
                wrong.append(f"{lost} pings to {RUNNER} were lost, at {RATE} a second")
        if cell.situation.operation is Situation.MIGRATION and self._runs(SUBJECT):
            try:
                pings.guest.reach(self._address(SUBJECT), timeout=self.within)
            except LabError as error:
                wrong.append(f"{SUBJECT} does not answer after its migration: {error}")
        elif cell.situation.operation is Situation.MIGRATION and cell.traffic is not Traffic.ENDS:
            wrong.append(f"{SUBJECT} does not run after its migration")
        return wrong

    def _clear(self) -> list[str]:
        """Remove the domains of the cell: nothing of them may be left."""
        for host in self.world.cloud.hypervisors:
            for name in (SUBJECT, NAME):
                for verb in ("destroy", "undefine"):
                    host.run(["virsh", verb, name], check=False, timeout=HANG)
        return [f"when {SUBJECT} was undefined: {left}" for left in self.heals()]


def _call(host: LabHost, command: Sequence[str]) -> None:
    host.run(command, timeout=HANG)


def _outcome(operation: Future[None] | None, cell: Cell) -> list[str]:
    """What is wrong with how an operation of libvirt ended."""
    if operation is None:
        return []
    try:
        operation.result()
    except CommandError as error:
        if error.status is None:
            return [f"libvirt hung: {error}"]
        return [] if cell.may_fail else [f"it failed: {error}"]
    return []


def versions(run: Callable[[list[str]], str]) -> str:
    """Of what a lab was run with; `run` gives the output of a command on one of its hosts."""
    found = []
    for name, command in (
        ("libvirt", ["virsh", "--version"]),
        ("QEMU", ["qemu-system-x86_64", "--version"]),
        ("Open vSwitch", ["ovs-vswitchd", "--version"]),
        ("OVN", ["ovn-controller", "--version"]),
    ):
        number = re.search(r"\d+\.\d+\.\d+", run(command))
        found.append(f"{name} {number[0] if number else '?'}")
    return ", ".join(found)
