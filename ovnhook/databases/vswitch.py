"""This host's Open vSwitch database (ovs-vswitchd.conf.db(5)): who we are, which tap is which port, what leads out."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.domains.values import Tap
from ovnhook.ovsdb.connection import ConstraintViolation, Database
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    as_map,
    as_set,
    includes,
    insert_named,
    map_of,
    mutate,
    require,
    select,
    set_keys,
    set_of,
)

# The types of interfaces that lead to no other machine by themselves, or by a tunnel over another interface.
_NO_UPLINKS = frozenset(
    {"patch", "internal"}
    | {"geneve", "vxlan", "gre", "ip6gre", "erspan", "ip6erspan", "stt", "lisp", "gtpu", "bareudp", "srv6"}
)

# Marks the ports that we bound; what is left of these after a crash may be taken away.
_BOUND = {"ovnhook:bound": "yes"}

# Marks those that we made: libvirt makes, and removes, those of bridges and networks by itself.
_MADE_BY = {"ovnhook:made": "yes"}

_PATIENCE = 0.5  # seconds for what is most often as it was
_PAUSE = 0.02  # seconds between two looks whether ovn-controller is done
_TRIES = 5  # to bind taps that somebody else plugs and unplugs at the same time


@dataclass(frozen=True)
class Binding:
    """A tap that is to be a port.

    Attributes:
        device: name of the tap.
        iface_id: name of the logical switch port.
        mac: the guest's MAC.
        domain: UUID of the domain.
        libvirts: whether libvirt plugs it: where it is no port, it is not to be made one.
    """

    device: str
    iface_id: str
    mac: str
    domain: UUID
    libvirts: bool = False


@dataclass(frozen=True)
class OvsHost:
    """What this host has to do with other hosts: ovn-controller(8) for the keys of Open_vSwitch's external_ids.

    Attributes:
        southbound: where its ovn-controller finds the southbound database, or "".
        version: of Open vSwitch, or "".
        uplinks: for each physical network whether the bridge for it has a link outside that is up.
    """

    southbound: str
    version: str
    uplinks: dict[str, bool]


class Vswitch:
    """Open vSwitch on this host. Safe to share between threads.

    Every method raises Unavailable when it does not answer before the deadline.
    """

    def __init__(self, remote: str, bridge: str) -> None:
        self.database = Database(remote, "Open_vSwitch")
        self._bridge = bridge
        self._chassis = ""

    def chassis(self, deadline: Deadline) -> str:
        """This host's name in OVN: the system-id, or what it was last where Open vSwitch does not answer.

        It changes when a host is set up, while the agent runs already.
        """
        ask = select("Open_vSwitch", columns=["external_ids"])
        try:
            (found,) = self.database.transact([ask], deadline.half(_PATIENCE) if self._chassis else deadline)
        except Unavailable:
            if self._chassis:
                return self._chassis
            raise
        self._chassis = map_of(found[0]["external_ids"]).get("system-id", "") if found else ""
        if not self._chassis:
            raise Unavailable(
                "Open vSwitch has no external_ids:system-id", "ovs-vsctl set open . external-ids:system-id=NAME"
            )
        return self._chassis

    def encapsulation(self, deadline: Deadline) -> tuple[str, str]:
        """How this host's tunnels are made (``geneve``, ``vxlan``), and where they end: ovn-controller(8)."""
        (found,) = self.database.transact([select("Open_vSwitch", columns=["external_ids"])], deadline)
        ids = map_of(found[0]["external_ids"]) if found else {}
        kinds = ids.get("ovn-encap-type", "geneve").split(",")
        return ("geneve" if "geneve" in kinds else kinds[0]), ids.get("ovn-encap-ip", "").split(",")[0]

    def outside(self, deadline: Deadline) -> OvsHost:
        """Where the southbound database is, and which uplinks are up; how many taps there are doesn't matter."""
        (found,) = self.database.transact([select("Open_vSwitch", columns=["external_ids", "ovs_version"])], deadline)
        row = found[0] if found else {"external_ids": ["map", []], "ovs_version": ["set", []]}
        ids = map_of(row["external_ids"])
        pairs = [pair.strip().partition(":") for pair in ids.get("ovn-bridge-mappings", "").split(",")]
        bridges = {network: bridge for network, _, bridge in pairs if network}
        up = {bridge: self._has_uplink(bridge, deadline) for bridge in bridges.values()}
        return OvsHost(
            southbound=ids.get("ovn-remote", ""),
            version="".join(set_of(row["ovs_version"])),
            uplinks={network: up[bridge] for network, bridge in bridges.items()},
        )

    def bind(self, bindings: Sequence[Binding], deadline: Deadline) -> None:
        """Make taps ports of the integration bridge, in one transaction. What is so already stays.

        A tap that libvirt has plugged already, with an iface-id of its own making, gets ours.
        """
        for left in reversed(range(_TRIES)):
            try:
                self._bind(bindings, deadline)
            except ConstraintViolation:  # somebody has plugged it meanwhile: libvirt, or another process of ours
                if not left:
                    raise
            else:
                return
            time.sleep(random.uniform(0, 2 * _PAUSE))

    def _bind(self, bindings: Sequence[Binding], deadline: Deadline) -> None:
        if not bindings:
            return
        results = self.database.transact(
            [select("Interface", ["name", "==", binding.device], columns=["external_ids"]) for binding in bindings],
            deadline,
        )
        operations: list[Operation] = []
        for binding, found in zip(bindings, results, strict=True):
            ids = {
                "attached-mac": binding.mac,
                "iface-id": binding.iface_id,
                "vm-id": str(binding.domain),
                "iface-status": "active",
                **_BOUND,
            }
            if not found and not binding.libvirts:
                operations += self._add(binding.device, {**ids, **_MADE_BY})
            elif found and not ids.items() <= map_of(found[0]["external_ids"]).items():
                operations.append(mutate("Interface", ["name", "==", binding.device], set_keys("external_ids", ids)))
        if operations:
            self.database.transact(operations, deadline)

    def wait_installed(self, devices: Sequence[str], deadline: Deadline) -> None:
        """Wait until ovn-controller has told the switch what to do with these taps: external_ids:ovn-installed.

        Raises:
            Unavailable: it has not, within the time.
        """
        wanted = [select("Interface", ["name", "==", device], columns=["external_ids"]) for device in devices]
        while wanted:
            results = self.database.transact(wanted, deadline)
            ids = [map_of(row["external_ids"]) for found in results for row in found]
            if len(ids) == len(devices) and all(one.get("ovn-installed") == "true" for one in ids):
                return
            deadline.check("ovn-controller has not taken up the ports")
            time.sleep(_PAUSE)

    def unbind(self, domain: UUID, deadline: Deadline) -> None:
        """Take away every port of a domain that does not run here.

        Also those that libvirt has made: it takes them away itself, but for one where it gave up waiting for Open
        vSwitch while the domain started.
        """
        self._unplug([name for name, _ in self._plugged(domain, {}, deadline)], deadline)

    def unbind_others(self, domain: UUID, macs: Collection[str], deadline: Deadline) -> None:
        """Take away the ports that `bind` made for other interfaces of a domain than those with these MACs."""
        self._unplug([name for name, mac in self._plugged(domain, _MADE_BY, deadline) if mac not in macs], deadline)

    def _plugged(self, domain: UUID, marks: Mapping[str, str], deadline: Deadline) -> list[tuple[str, str]]:
        """Name and MAC of a domain's ports that have these marks."""
        match = includes("external_ids", {**marks, "vm-id": str(domain)})
        (found,) = self.database.transact([select("Interface", match, columns=["name", "external_ids"])], deadline)
        return [(row["name"], map_of(row["external_ids"]).get("attached-mac", "")) for row in found]

    def unplug(self, device: str, tap: Tap, deadline: Deadline) -> None:
        """Take a port away from the integration bridge.

        Raises:
            Conflict: it is not the tap any more that it was.
        """
        where = [["name", "==", device]]
        (found,) = self.database.transact([select("Interface", *where, columns=["external_ids"])], deadline)
        if any(_tap(map_of(row["external_ids"])) == tap for row in found):
            self._unplug([device], deadline, require("Interface", where, found, ["external_ids"]))

    def _unplug(self, devices: Sequence[str], deadline: Deadline, *needs: Operation) -> None:
        if not devices:
            return
        wanted = [select("Port", ["name", "==", device], columns=["_uuid"]) for device in devices]
        ports = self.database.transact(wanted, deadline)
        gone = as_set(port["_uuid"] for found in ports for port in found)
        change = mutate("Bridge", ["name", "==", self._bridge], [["ports", "delete", gone]])
        self.database.transact([*needs, change], deadline)

    def taps(self, deadline: Deadline) -> dict[str, Tap]:
        """Every interface of this host that is a guest's, by its name."""
        (found,) = self.database.transact([select("Interface", columns=["name", "external_ids"])], deadline)
        ids = {row["name"]: map_of(row["external_ids"]) for row in found}
        return {name: _tap(values) for name, values in ids.items() if "iface-id" in values}

    def _has_uplink(self, bridge: str, deadline: Deadline) -> bool:
        """Whether a bridge is there with a link outside that is up; a guest's tap leads to no other machine."""
        (bridges,) = self.database.transact([select("Bridge", ["name", "==", bridge], columns=["ports"])], deadline)
        ports = self._follow(bridges, "ports", "Port", ["interfaces"], deadline)
        columns = ["type", "link_state", "external_ids"]
        return any(
            row["type"] not in _NO_UPLINKS
            and row["link_state"] == "up"
            and "attached-mac" not in map_of(row["external_ids"])
            for row in self._follow(ports, "interfaces", "Interface", columns, deadline)
        )

    def _follow(
        self, rows: Sequence[Row], column: str, table: str, columns: Sequence[str], deadline: Deadline
    ) -> list[Row]:
        """The rows of a table that a column of other rows refers to."""
        wanted = [select(table, ["_uuid", "==", one], columns=columns) for row in rows for one in set_of(row[column])]
        return [row for found in self.database.transact(wanted, deadline) for row in found]

    def _add(self, device: str, ids: dict[str, str]) -> list[Operation]:
        name = device.replace("-", "_").replace(".", "_")
        interface, port = f"interface_{name}", f"port_{name}"
        return [
            insert_named("Interface", interface, {"name": device, "external_ids": as_map(ids)}),
            insert_named(
                "Port",
                port,
                {
                    "name": device,
                    "interfaces": ["named-uuid", interface],
                    # Gone after a reboot of the host (ovs-vswitchd.conf.db(5), Port, other_config:transient).
                    "other_config": as_map({"transient": "true"}),
                },
            ),
            mutate("Bridge", ["name", "==", self._bridge], [["ports", "insert", as_set([["named-uuid", port]])]]),
        ]


def _tap(ids: Mapping[str, str]) -> Tap:
    """An Interface's external_ids as the guest's device that it is."""
    return Tap(
        iface_id=ids.get("iface-id", ""),
        domain=ids.get("vm-id", ""),
        mac=ids.get("attached-mac", ""),
        ours=_BOUND.items() <= ids.items(),
    )
