"""The fault matrix as values: parts, faults, situations, and what has to hold afterwards. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Component(Enum):
    """The part that fails; of a hypervisor, the one that a domain starts on, is destroyed on, or migrates to."""

    AGENT = "agent"
    LIBVIRTD = "libvirtd"
    OVS_DB = "ovs-db"
    OVS_VSWITCHD = "ovs-vswitchd"
    OVN_CONTROLLER = "ovn-controller"
    NB = "nb"
    SB = "sb"
    NORTHD = "northd"
    CONTROL = "control"
    HYPERVISOR = "hypervisor"
    QEMU = "qemu"
    HOOK = "hook"
    KEYS = "keys"
    RECORDS = "records"
    GATEWAYS = "gateways"
    DHCP_OPTIONS = "dhcp-options"
    SWITCH = "logical-switch"
    ROUTER_PORT = "router-port"

    @property
    def title(self) -> str:
        """As people call it."""
        return _TITLES.get(self, self.value)

    @property
    def central(self) -> bool:
        """Whether it runs on the control host."""
        return self in _CENTRAL


_TITLES = {
    Component.OVS_DB: "ovsdb-server (OVS)",
    Component.NB: "northbound database",
    Component.SB: "southbound database",
    Component.NORTHD: "ovn-northd",
    Component.CONTROL: "control service",
    Component.HYPERVISOR: "hypervisor (host)",
    Component.QEMU: "another domain's QEMU, while queried",
    Component.HOOK: "a third-party hook of another domain",
    Component.KEYS: "`external_ids` of all rows of ovnhook",
    Component.RECORDS: "DNS records of the subnet",
    Component.GATEWAYS: "HA chassis group of the router",
    Component.DHCP_OPTIONS: "DHCP options of the subnet",
    Component.SWITCH: "logical switch of the subnet",
    Component.ROUTER_PORT: "router port of the subnet",
}
_CENTRAL = frozenset({Component.NB, Component.SB, Component.NORTHD, Component.CONTROL})


class Fault(Enum):
    """The kind of failure."""

    KILL = "kill"
    PAUSE = "pause"
    SLOW = "slow"
    RESTART = "restart"
    CUT = "cut"
    ADD = "add"
    DELETE = "delete"
    CHANGE = "change"

    @property
    def title(self) -> str:
        """In some words."""
        return {
            Fault.KILL: "SIGKILL, restarted after a second",
            Fault.PAUSE: "SIGSTOP for 10 s, or blocked",
            Fault.SLOW: "stopped three quarters of the time, for 10 s",
            Fault.RESTART: "restart",
            Fault.CUT: "network cut for 10 s",
            Fault.ADD: "foreign keys and rows added",
            Fault.DELETE: "row deleted by hand",
            Fault.CHANGE: "row changed by hand",
        }[self]


class Situation(Enum):
    """The operation that is under way, or a moment of one."""

    IDLE = "idle"
    START = "start"
    DESTROY = "destroy"
    MIGRATION = "migration"
    PREPARE = "prepare"
    BIND = "bind"
    ANNOUNCE = "announce"
    ANNOUNCED = "announced"
    PREPARED = "prepared"
    LEAVE = "leave"

    @property
    def operation(self) -> Situation:
        """The operation that a moment is part of."""
        return _OPERATIONS.get(self, self)


_OPERATIONS = {
    Situation.PREPARE: Situation.START,
    Situation.BIND: Situation.START,
    Situation.ANNOUNCE: Situation.MIGRATION,
    Situation.ANNOUNCED: Situation.MIGRATION,
    Situation.PREPARED: Situation.MIGRATION,
    Situation.LEAVE: Situation.MIGRATION,
}
MOMENTS = tuple(_OPERATIONS)
"""The moments at which the control service fails: each call of our hook before and after it."""

OPERATIONS = tuple(situation for situation in Situation if situation not in MOMENTS)
"""The situations in which each part fails."""


@dataclass(frozen=True)
class HookStep:
    """The call of libvirt's hooks at which a fault begins.

    Attributes:
        hook: libvirt's name of it.
        answered: our hook has answered the call, and others have not.
        on_source: the call is on the host that a domain migrates from.
    """

    hook: str
    answered: bool
    on_source: bool = False


_STEPS = {
    Situation.PREPARE: HookStep("prepare", answered=False),
    Situation.BIND: HookStep("prepare", answered=True),
    Situation.DESTROY: HookStep("stopped", answered=False),
    Situation.ANNOUNCE: HookStep("migrate", answered=False),
    Situation.ANNOUNCED: HookStep("migrate", answered=True),
    Situation.PREPARED: HookStep("prepare", answered=True),
    Situation.MIGRATION: HookStep("started", answered=True),
    Situation.LEAVE: HookStep("release", answered=False, on_source=True),
}


class Traffic(Enum):
    """The expected traffic to a guest on the hypervisor."""

    KEPT = "kept"
    INTERRUPTED = "interrupted"
    ENDS = "ends"


@dataclass(frozen=True)
class Cell:
    """One fault of one part in one situation."""

    part: Component
    fault: Fault
    situation: Situation

    @property
    def name(self) -> str:
        """Such as ``agent-kill-start``; no part has a name with another's fault in it."""
        return f"{self.part.value}-{self.fault.value}-{self.situation.value}"

    @property
    def same_as(self) -> Cell:
        """The cell that does the very same.

        A cable is pulled out of a host, whichever of its daemons is meant; a start has the moment that suits the fault.
        """
        if self.situation is self._moment_of_start:
            return Cell(self.part, self.fault, Situation.START)
        if self.fault is not Fault.CUT or self.part in (Component.HYPERVISOR, Component.OVS_VSWITCHD):
            return self
        return Cell(Component.NB if self.part.central else Component.AGENT, self.fault, self.situation)

    @property
    def traffic(self) -> Traffic:
        """What may become of the traffic to a guest that runs on the hypervisor; why not KEPT is in `TRAFFIC`."""
        return TRAFFIC.get((self.part, self.fault), (Traffic.KEPT, ""))[0]

    @property
    def may_fail(self) -> bool:
        """Whether what goes on may fail (in time, and leaving nothing behind); why is in `FAILURES`."""
        return (self.part, self.fault) in FAILURES or (self.part, self.situation) in REFUSALS

    @property
    def step(self) -> HookStep | None:
        """Where the fault begins; None if nothing is under way."""
        return _STEPS.get(self._moment_of_start if self.situation is Situation.START else self.situation)

    @property
    def _moment_of_start(self) -> Situation:
        """The moment of a start in which a fault does most: a short one when the domain's port is there already."""
        return Situation.BIND if self.fault in (Fault.KILL, Fault.RESTART) else Situation.PREPARE


_VSWITCHD = "the lab's datapath is part of ovs-vswitchd; the kernel's keeps forwarding known flows"
_NO_DATABASE = "ovs-vswitchd, the lab's datapath, may block until its database is back"
_CRASH = "its guests are lost"
TRAFFIC = {
    (Component.OVS_DB, Fault.KILL): (Traffic.INTERRUPTED, _NO_DATABASE),
    (Component.OVS_DB, Fault.RESTART): (Traffic.INTERRUPTED, _NO_DATABASE),
    (Component.OVS_VSWITCHD, Fault.KILL): (Traffic.INTERRUPTED, _VSWITCHD),
    (Component.OVS_VSWITCHD, Fault.PAUSE): (Traffic.INTERRUPTED, _VSWITCHD),
    (Component.OVS_VSWITCHD, Fault.RESTART): (Traffic.INTERRUPTED, _VSWITCHD),
    (Component.OVS_VSWITCHD, Fault.CUT): (Traffic.INTERRUPTED, "the link carries the tunnels"),
    (Component.OVN_CONTROLLER, Fault.RESTART): (
        Traffic.INTERRUPTED,
        "it deletes its tunnels at exit: ovn-controller(8), exit without --restart",
    ),
    (Component.HYPERVISOR, Fault.KILL): (Traffic.ENDS, _CRASH),
    (Component.HYPERVISOR, Fault.PAUSE): (Traffic.INTERRUPTED, "its guests are paused"),
    (Component.HYPERVISOR, Fault.RESTART): (Traffic.ENDS, _CRASH),
    (Component.HYPERVISOR, Fault.CUT): (Traffic.INTERRUPTED, "the link carries the tunnels"),
    (Component.SWITCH, Fault.DELETE): (Traffic.INTERRUPTED, "its ports are deleted with it"),
}
"""Where OVN itself does not keep the traffic, and why; everywhere else it has to go on."""

_PLUGS = "libvirt plugs taps with ovs-vsctl, with a timeout of 5 s"
FAILURES = {
    (Component.LIBVIRTD, Fault.KILL): "the operation ends with the daemon",
    (Component.LIBVIRTD, Fault.RESTART): "the operation ends with the daemon",
    (Component.OVS_DB, Fault.KILL): _PLUGS,
    (Component.OVS_DB, Fault.PAUSE): _PLUGS,
    (Component.OVS_DB, Fault.RESTART): _PLUGS,
    (Component.OVS_VSWITCHD, Fault.KILL): _PLUGS,
    (Component.OVS_VSWITCHD, Fault.PAUSE): _PLUGS,
    (Component.OVS_VSWITCHD, Fault.RESTART): _PLUGS,
    (Component.HYPERVISOR, Fault.KILL): "the operation ends with the host",
    (Component.HYPERVISOR, Fault.PAUSE): _PLUGS,
    (Component.HYPERVISOR, Fault.RESTART): "the operation ends with the host",
}
"""Where libvirt itself can't do what it was asked for, and why; everywhere else it has to be done."""

REFUSALS = {
    (Component.CONTROL, Situation.ANNOUNCE): "a migration begins only if both hosts may have the ports",
}
"""Where ovnhook itself refuses what it was asked for, whatever the fault, and why."""

NEIGHBOURS = frozenset({Component.QEMU, Component.HOOK})
"""What is another domain's, and is no daemon: it stands still, and nothing else can become of it that would matter."""

FOREIGN = frozenset({Component.KEYS, Component.RECORDS, Component.GATEWAYS})
"""Rows of ours in the northbound database that somebody may add something to, or put something beside."""

OWN = frozenset({Component.DHCP_OPTIONS, Component.SWITCH, Component.ROUTER_PORT})
"""Rows of ours that the control service makes anew."""

BY_HAND = frozenset({Fault.ADD, Fault.DELETE, Fault.CHANGE})
"""What only rows suffer."""


def faults(part: Component) -> tuple[Fault, ...]:
    """The ways in which a part can break."""
    if part in NEIGHBOURS:
        return (Fault.PAUSE,)
    if part in FOREIGN:
        return (Fault.ADD,)
    if part in OWN:
        return (Fault.DELETE, Fault.CHANGE)
    slow = {Fault.SLOW} if part is not Component.CONTROL else set()
    return tuple(fault for fault in Fault if fault not in BY_HAND | slow)


DAEMONS = tuple(part for part in Component if part not in NEIGHBOURS | FOREIGN | OWN)
"""What runs, and breaks by itself; and a whole hypervisor."""

CELLS = (
    *(Cell(part, fault, situation) for part in Component for fault in faults(part) for situation in OPERATIONS),
    *(
        Cell(Component.CONTROL, fault, moment)
        for fault in faults(Component.CONTROL)
        if fault is not Fault.CUT
        for moment in MOMENTS
    ),
)

SHORT = tuple(
    Cell(*cell)
    for cell in (
        (Component.AGENT, Fault.PAUSE, Situation.START),
        (Component.LIBVIRTD, Fault.KILL, Situation.START),
        (Component.OVS_DB, Fault.RESTART, Situation.IDLE),
        (Component.OVS_VSWITCHD, Fault.KILL, Situation.IDLE),
        (Component.OVN_CONTROLLER, Fault.KILL, Situation.MIGRATION),
        (Component.NB, Fault.PAUSE, Situation.DESTROY),
        (Component.NB, Fault.KILL, Situation.MIGRATION),
        (Component.SB, Fault.RESTART, Situation.START),
        (Component.NORTHD, Fault.KILL, Situation.DESTROY),
        (Component.CONTROL, Fault.RESTART, Situation.IDLE),
        (Component.CONTROL, Fault.KILL, Situation.PREPARE),
        (Component.CONTROL, Fault.PAUSE, Situation.DESTROY),
        (Component.CONTROL, Fault.SLOW, Situation.MIGRATION),
        (Component.CONTROL, Fault.KILL, Situation.ANNOUNCE),
        (Component.CONTROL, Fault.PAUSE, Situation.PREPARED),
        (Component.HYPERVISOR, Fault.RESTART, Situation.START),
        (Component.HYPERVISOR, Fault.CUT, Situation.DESTROY),
        (Component.QEMU, Fault.PAUSE, Situation.MIGRATION),
        (Component.HOOK, Fault.PAUSE, Situation.START),
        (Component.KEYS, Fault.ADD, Situation.MIGRATION),
        (Component.DHCP_OPTIONS, Fault.DELETE, Situation.START),
        (Component.ROUTER_PORT, Fault.CHANGE, Situation.DESTROY),
    )
)
"""Those that every run of the tests does: each part but for some rows, each fault, each situation."""
