"""Manual changes of the northbound database: rows and keys beside ours, and changes of our own rows."""

from __future__ import annotations

from lab import Guest, LabError
from lab.waiting import HANG
from tests.cloud.world import Row, World
from tests.faults.disturbance import Disturbance
from tests.faults.invariants import differences
from tests.faults.matrix import Component, Fault
from tests.faults.observed import observe

SUBNET, ROUTER, OUTSIDE = "default", "gateway", "203.0.113.254"
"""The subnet and the router of the lab, and an address outside that guests reach."""

_TABLES = (
    *("Logical_Switch", "Logical_Switch_Port", "DHCP_Options", "DNS", "NAT", "HA_Chassis_Group", "HA_Chassis"),
    *("Logical_Router", "Logical_Router_Port", "Logical_Router_Static_Route"),
)
_KINDS = {
    Component.DHCP_OPTIONS: ("DHCP_Options", "dhcp"),
    Component.SWITCH: ("Logical_Switch", "subnet"),
    Component.ROUTER_PORT: ("Logical_Router_Port", "router-port"),
}
_DELETED = {Component.DHCP_OPTIONS: "dhcp-options-del", Component.SWITCH: "ls-del", Component.ROUTER_PORT: "lrp-del"}
_CHANGED = {
    Component.DHCP_OPTIONS: ("cidr=192.0.2.0/24", "options:router=192.0.2.1"),
    Component.SWITCH: ("name=odd",),
    Component.ROUTER_PORT: ("networks=192.0.2.1/24", 'mac="0a:00:00:00:00:99"'),
}
_NOTE, _CHASSIS, _STALE = "note", "gw9", "10.10.0.250"


class ManualAddition(Disturbance):
    """Keys and rows of somebody else on and beside our rows: they are there while the cell lasts, and have to stay.

    Args:
        world: the lab.
        part: KEYS, RECORDS or GATEWAYS.
        guest: one that runs.
        name: the host name that a stale record has.
    """

    def __init__(self, world: World, part: Component, guest: Guest, name: str) -> None:
        self._world, self._part, self._guest, self._name = world, part, guest, name
        self._marked: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Add it."""
        match self._part:
            case Component.KEYS:
                self._marked = frozenset(_rows(self._world))
                self._note("set", f"external_ids:{_NOTE}=somebody")
            case Component.RECORDS:
                # Theirs on our switch; and in our row a name that leads to nobody, as an earlier failure may leave it.
                theirs = ("--id=@theirs", "create", "DNS", f"records:{_NOTE}=192.0.2.7")
                add = ("add", "Logical_Switch", SUBNET, "dns_records", "@theirs")
                stale = ("set", "DNS", self._names(), f"records:{self._name}={_STALE}")
                _nbctl(self._world, *theirs, "--", *add, "--", *stale)
            case _:
                _nbctl(self._world, "ha-chassis-group-add-chassis", f"ovnhook:{ROUTER}", _CHASSIS, "50")

    def hold(self) -> None:
        """Wait until a record that leads to nobody is gone, or leads to whom it should; the others stay."""
        if self._part is Component.RECORDS:
            names = self._names()
            self._world.wait_for(
                lambda: _STALE not in _nbctl(self._world, "get", "DNS", names, "records"), "the stale record to be gone"
            )

    def wrong(self) -> list[str]:
        """What is not there any more, though its row is; and what a guest lacks."""
        found = _served(self._world, self._guest)
        if self._part is Component.KEYS:
            rows = _rows(self._world)
            found += [f"{key} lost a key" for key in self._marked & rows.keys() if _NOTE not in _ids(rows[key])]
        elif not self._theirs():
            found.append(f"{self._part.title}: what is somebody else's is gone")
        return found

    def withdraw(self) -> None:
        """Take it away."""
        match self._part:
            case Component.KEYS:
                self._note("remove", "external_ids", _NOTE)
            case Component.RECORDS:
                theirs = self._theirs()
                remove = ("remove", "Logical_Switch", SUBNET, "dns_records", theirs)
                _nbctl(self._world, *remove, "--", "destroy", "DNS", theirs)
            case _:
                _nbctl(self._world, "ha-chassis-group-remove-chassis", f"ovnhook:{ROUTER}", _CHASSIS)

    def _note(self, verb: str, *how: str) -> None:
        """Write into those rows of ours that were marked and are there."""
        marked = [key.split() for key in self._marked & _rows(self._world).keys()]
        _nbctl(self._world, *(word for table, uuid in marked for word in (verb, table, uuid, *how, "--")))

    def _names(self) -> str:
        """The UUID of the row with the names of our guests."""
        return _find(self._world, "DNS", "names")

    def _theirs(self) -> str:
        """The UUID of the row that was added, if what is ours still refers to it."""
        table, owner, column, record = (
            ("DNS", ("Logical_Switch", SUBNET), "dns_records", f"records:{_NOTE}=192.0.2.7")
            if self._part is Component.RECORDS
            else ("HA_Chassis", ("HA_Chassis_Group", f"ovnhook:{ROUTER}"), "ha_chassis", f"chassis_name={_CHASSIS}")
        )
        uuid = _nbctl(self._world, "--bare", "--columns=_uuid", "find", table, record)
        return uuid if uuid and uuid in _nbctl(self._world, "get", *owner, column) else ""


class ManualAlteration(Disturbance):
    """One of our own rows that is deleted or changed: it is reported, and repaired, and only then said to be.

    Args:
        world: the lab.
        part: DHCP_OPTIONS, SWITCH or ROUTER_PORT.
        fault: DELETE or CHANGE.
        guest: one that runs.
    """

    def __init__(self, world: World, part: Component, fault: Fault, guest: Guest) -> None:
        self._world, self._part, self._fault, self._guest = world, part, fault, guest
        self._table, kind = _KINDS[part]
        self._uuid = _find(world, self._table, kind)
        self._before = self._row()
        self._log = world.control.daemon("control").log
        self._said = self._log.stat().st_size

    def begin(self) -> None:
        """Delete or change it."""
        if self._fault is Fault.DELETE:
            _nbctl(self._world, _DELETED[self._part], self._uuid)
        else:
            _nbctl(self._world, "set", self._table, self._uuid, *_CHANGED[self._part])

    def hold(self) -> None:
        """Wait until it is repaired, and what went with it."""
        world = self._world
        if not self._reported() and self._row() != self._before:
            raise AssertionError(f"{self._table} is not as it was, and status says nothing")
        world.wait_for(self._is_said_to_be_repaired, "the control service to say that it is repaired")
        if self._row() != self._before:
            raise AssertionError(f"{self._table} is said to be repaired: {self._row()}, it was {self._before}")
        # Ports of guests go with their switch, and their agents look once a minute.
        world.wait_for(lambda: not differences(observe(world.cloud)), "all to be as expected")

    def wrong(self) -> list[str]:
        """What is still said to be wrong, or is; and what a guest lacks."""
        found = _served(self._world, self._guest)
        if self._row() != self._before:
            found.append(f"{self._table} is {self._row()}, it was {self._before}")
        if self._reported():
            found.append(f"status still says that {self._table} is not as it is to be")
        for host in self._world.cloud.hypervisors:
            checked = host.run(["ovnhook", "check"], check=False, timeout=HANG)
            if checked.returncode:
                found.append(f"ovnhook check on {host.name}: {checked.stdout}{checked.stderr}")
        return found

    def _row(self) -> Row | None:
        """The row, without the guests' ports: these are their agents' business."""
        found = self._world.rows(self._table).get(f"{self._table} {self._uuid}")
        return found and {name: value for name, value in found.items() if name != "ports"}

    def _reported(self) -> bool:
        status = self._world.control.run(["ovnhook", "status"], check=False, timeout=HANG).stdout
        return f"northbound database: {self._table} " in status

    def _is_said_to_be_repaired(self) -> bool:
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._said)
            return f"repaired in OVN_Northbound: {self._table} " in log.read()


def _served(world: World, guest: Guest) -> list[str]:
    """What a guest of the subnet does not get: an answer by DHCP, and one from outside."""
    wrong = []
    try:
        guest.console("udhcpc -f -n -q -i eth0 -s /bin/true -t 100 -T 1")
        guest.reach(OUTSIDE)
    except LabError as error:
        wrong.append(str(error))
    shown = world.ovnhook("router", "show", ROUTER)
    if _CHASSIS in shown:
        wrong.append(f"somebody's chassis is taken for a gateway: {shown}")
    return wrong


def _rows(world: World) -> dict[str, Row]:
    """All rows of ours, by table and UUID."""
    return {key: row for key, row in world.rows(*_TABLES).items() if "ovnhook:kind" in _ids(row)}


def _ids(row: Row) -> dict[str, str]:
    return dict(row["external_ids"][1])


def _find(world: World, table: str, kind: str) -> str:
    """The UUID of the subnet's row of a kind."""
    which = (f"external_ids:ovnhook\\:kind={kind}", f"external_ids:ovnhook\\:subnet={SUBNET}")
    return _nbctl(world, "--bare", "--columns=_uuid", "find", table, *which)


def _nbctl(world: World, *arguments: str) -> str:
    return world.control.run(["ovn-nbctl", *arguments]).stdout.strip()
