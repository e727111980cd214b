"""This host's Open vSwitch database (ovs-vswitchd.conf.db(5)): system-id, taps, bridge mappings and uplinks."""

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

# Interface types that are not uplinks: internal ones and tunnels.
_NO_UPLINKS = frozenset(
    {"patch", "internal"}
    | {"geneve", "vxlan", "gre", "ip6gre", "erspan", "ip6erspan", "stt", "lisp", "gtpu", "bareudp", "srv6"}
)

# Marks the interfaces that we bound, which may be removed after a crash.
_BOUND = {"ovnhook:bound": "yes"}

# Marks those whose port we created; libvirt creates and removes ports of bridges and networks itself.
_CREATED = {"ovnhook:made": "yes"}

_CACHE_TIMEOUT = 0.5  # seconds for a value that is cached and rarely changes
_POLL_INTERVAL = 0.02  # seconds
_ATTEMPTS = 5  # to bind taps that others plug and unplug at the same time


@dataclass(frozen=True)
class Binding:
    """Binding of a tap to a logical switch port.

    Attributes:
        device: name of the tap.
        iface_id: name of the logical switch port.
        mac: MAC address of the guest.
        domain: UUID of the domain.
        plugged_by_libvirt: libvirt plugs the tap into the bridge; it is never plugged here.
    """

    device: str
    iface_id: str
    mac: str
    domain: UUID
    plugged_by_libvirt: bool = False


@dataclass(frozen=True)
class OvsHost:
    """Configuration of this host for ovn-controller(8), and the state of its uplinks.

    Attributes:
        southbound: remotes of the southbound database (``ovn-remote``), or "".
        version: version of Open vSwitch, or "".
        uplinks: state by physical network: True if its bridge has an uplink with carrier, or is an interface of the
            host that is up.
        bridges: bridge by physical network.
    """

    southbound: str
    version: str
    uplinks: dict[str, bool]
    bridges: dict[str, str]


class Vswitch:
    """Thread-safe client of this host's Open vSwitch database.

    Every method raises Unavailable when the server does not answer before the deadline.
    """

    def __init__(self, remote: str, bridge: str) -> None:
        self.database = Database(remote, "Open_vSwitch")
        self._bridge = bridge
        self._chassis = ""

    def chassis(self, deadline: Deadline) -> str:
        """System-id of this host, which is its chassis name; the last known one if Open vSwitch does not answer.

        It may change when the host is set up while the agent is running.
        """
        query = select("Open_vSwitch", columns=["external_ids"])
        try:
            (found,) = self.database.transact([query], deadline.half(_CACHE_TIMEOUT) if self._chassis else deadline)
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
        """Encapsulation type (``geneve``, ``vxlan``) and tunnel endpoint IP of this host: ovn-controller(8)."""
        (found,) = self.database.transact([select("Open_vSwitch", columns=["external_ids"])], deadline)
        ids = map_of(found[0]["external_ids"]) if found else {}
        kinds = ids.get("ovn-encap-type", "geneve").split(",")
        return ("geneve" if "geneve" in kinds else kinds[0]), ids.get("ovn-encap-ip", "").split(",")[0]

    def host(self, deadline: Deadline) -> OvsHost:
        """Host configuration and uplinks. The cost does not depend on the number of taps."""
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
            bridges=bridges,
        )

    def bind(self, bindings: Sequence[Binding], deadline: Deadline) -> None:
        """Plug taps into the integration bridge and set their iface-id, in one transaction. Idempotent.

        An iface-id that libvirt has set is replaced.
        """
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._bind(bindings, deadline)
            except ConstraintViolation:  # plugged concurrently by libvirt or another process of ours
                if not left:
                    raise
            else:
                return
            time.sleep(random.uniform(0, 2 * _POLL_INTERVAL))

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
            if not found and not binding.plugged_by_libvirt:
                operations += self._add(binding.device, {**ids, **_CREATED})
            elif found and not ids.items() <= map_of(found[0]["external_ids"]).items():
                operations.append(mutate("Interface", ["name", "==", binding.device], set_keys("external_ids", ids)))
        if operations:
            self.database.transact(operations, deadline)

    def wait_installed(self, devices: Sequence[str], deadline: Deadline) -> None:
        """Wait until ovn-controller has installed the flows of these taps (external_ids:ovn-installed).

        Raises:
            Unavailable: the deadline passed.
        """
        wanted = [select("Interface", ["name", "==", device], columns=["external_ids"]) for device in devices]
        while wanted:
            results = self.database.transact(wanted, deadline)
            ids = [map_of(row["external_ids"]) for found in results for row in found]
            if len(ids) == len(devices) and all(one.get("ovn-installed") == "true" for one in ids):
                return
            deadline.check("ovn-controller has not installed the ports' flows")
            time.sleep(_POLL_INTERVAL)

    def unbind(self, domain: UUID, deadline: Deadline) -> None:
        """Unplug all ports of a domain that does not run here.

        Includes ports that libvirt created: it removes them itself, except one whose creation timed out during a start.
        """
        self._unplug([name for name, _ in self._plugged(domain, {}, deadline)], deadline)

    def unbind_others(self, domain: UUID, macs: Collection[str], deadline: Deadline) -> None:
        """Unplug the ports of a domain that `bind` created, except those with these MACs."""
        self._unplug([name for name, mac in self._plugged(domain, _CREATED, deadline) if mac not in macs], deadline)

    def _plugged(self, domain: UUID, ids: Mapping[str, str], deadline: Deadline) -> list[tuple[str, str]]:
        """Name and MAC of a domain's interfaces whose external_ids include `ids`."""
        match = includes("external_ids", {**ids, "vm-id": str(domain)})
        (found,) = self.database.transact([select("Interface", match, columns=["name", "external_ids"])], deadline)
        return [(row["name"], map_of(row["external_ids"]).get("attached-mac", "")) for row in found]

    def unplug(self, device: str, tap: Tap, deadline: Deadline) -> None:
        """Remove a port from the integration bridge.

        Raises:
            Conflict: the tap has changed meanwhile.
        """
        where = [["name", "==", device]]
        (found,) = self.database.transact([select("Interface", *where, columns=["external_ids"])], deadline)
        if any(_tap(map_of(row["external_ids"])) == tap for row in found):
            self._unplug([device], deadline, require("Interface", where, found, ["external_ids"]))

    def _unplug(self, devices: Sequence[str], deadline: Deadline, *guards: Operation) -> None:
        if not devices:
            return
        wanted = [select("Port", ["name", "==", device], columns=["_uuid"]) for device in devices]
        ports = self.database.transact(wanted, deadline)
        uuids = as_set(port["_uuid"] for found in ports for port in found)
        change = mutate("Bridge", ["name", "==", self._bridge], [["ports", "delete", uuids]])
        self.database.transact([*guards, change], deadline)

    def taps(self, deadline: Deadline) -> dict[str, Tap]:
        """Guests' taps on this host, by name."""
        (found,) = self.database.transact([select("Interface", columns=["name", "external_ids"])], deadline)
        ids = {row["name"]: map_of(row["external_ids"]) for row in found}
        return {name: _tap(values) for name, values in ids.items() if "iface-id" in values}

    def _has_uplink(self, bridge: str, deadline: Deadline) -> bool:
        """Test for a bridge with an uplink that has carrier; a guest's tap is no uplink.

        Without any uplink, the host itself is at the other end: the bridge's own interface counts.
        """
        (bridges,) = self.database.transact([select("Bridge", ["name", "==", bridge], columns=["ports"])], deadline)
        ports = self._follow(bridges, "ports", "Port", ["interfaces"], deadline)
        columns = ["name", "type", "link_state", "external_ids"]
        rows = self._follow(ports, "interfaces", "Interface", columns, deadline)
        uplinks = [
            row for row in rows if row["type"] not in _NO_UPLINKS and "attached-mac" not in map_of(row["external_ids"])
        ] or [row for row in rows if row["name"] == bridge]
        return any(row["link_state"] == "up" for row in uplinks)

    def _follow(
        self, rows: Sequence[Row], column: str, table: str, columns: Sequence[str], deadline: Deadline
    ) -> list[Row]:
        """Rows of a table that a column of other rows refers to."""
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
                    # Removed at boot (ovs-vswitchd.conf.db(5), Port, other_config:transient).
                    "other_config": as_map({"transient": "true"}),
                },
            ),
            mutate("Bridge", ["name", "==", self._bridge], [["ports", "insert", as_set([["named-uuid", port]])]]),
        ]


def _tap(ids: Mapping[str, str]) -> Tap:
    """Parse external_ids of a guest's Interface."""
    return Tap(
        iface_id=ids.get("iface-id", ""),
        domain=ids.get("vm-id", ""),
        mac=ids.get("attached-mac", ""),
        ours=_BOUND.items() <= ids.items(),
    )
