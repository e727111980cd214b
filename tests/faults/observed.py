"""The state of a lab for `invariants.differences`, by virsh and the tools of OVN and Open vSwitch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lab import LabCloud, LabHost
from tests.faults.invariants import ObservedCloud, ObservedLease, ObservedPort, ObservedTap, RunningInterface

Row = dict[str, Any]

NORTHBOUND = "unix:/run/ovn/ovnnb_db.sock"
_SOUTHBOUND = "unix:/run/ovn/ovnsb_db.sock"
_VSWITCH = "unix:/run/openvswitch/db.sock"
_RUNNING = (
    'for uuid in $(virsh list --uuid); do echo "domain $uuid $(virsh domname $uuid)"; virsh domiflist $uuid; done'
)
_ADDRESS = re.compile(r"^\d+\.\d+\.\d+\.\d+$")


def observe(cloud: LabCloud, northbound: str = NORTHBOUND, timeout: float = 30.0) -> ObservedCloud:
    """A cloud as it is now.

    Raises:
        LabError: something did not answer.
    """
    # Ports first: one that was there before its domain was seen not to run is really left over.
    nb = _rows(cloud.control, northbound, "OVN_Northbound", "Logical_Switch_Port", "DNS")
    sb = _rows(cloud.control, _SOUTHBOUND, "OVN_Southbound", "Chassis", "Port_Binding")
    chassis = {row["_uuid"][1]: row["name"] for row in sb["Chassis"]}
    bindings = {row["logical_port"]: row for row in sb["Port_Binding"]}
    dns = [(row, _ids(row)) for row in nb["DNS"]]
    records = {kind: [row["records"][1] for row, ids in dns if ids.get("kind") == kind] for kind in ("names",)}
    return ObservedCloud(
        ports=tuple(
            _port(row, ids, bindings.get(row["name"], {}), chassis)
            for row in nb["Logical_Switch_Port"]
            if (ids := _ids(row)).get("kind") == "port"
        ),
        leases=tuple(
            ObservedLease(address, ids["domain"], ids["mac"])
            for row, ids in dns
            if ids.get("kind") == "lease"
            for _, address in row["records"][1]
        ),
        holders=tuple(ids["domain"] for _, ids in dns if ids.get("kind") == "domain"),
        named=frozenset(
            address
            for names in records["names"]
            for _, value in names
            for address in value.split()
            if _ADDRESS.match(address)
        ),
        taps=tuple(tap for host in cloud.hypervisors for tap in _taps(host)),
        interfaces=tuple(one for host in cloud.hypervisors for one in _interfaces(host, timeout)),
        known=frozenset(
            uuid
            for host in cloud.hypervisors
            for uuid in host.run(["virsh", "list", "--all", "--uuid"], timeout=timeout).stdout.split()
        ),
    )


def _port(row: Row, ids: dict[str, str], binding: Row, chassis: dict[str, str]) -> ObservedPort:
    options = dict(row["options"][1])
    bound = binding.get("chassis", ["set", []])
    return ObservedPort(
        name=row["name"],
        domain=ids["domain"],
        mac=ids["mac"],
        host=ids["host"],
        requested=options.get("requested-chassis", ""),
        moving="activation-strategy" in options or bool(ids.get("moving-to")),
        addresses=row["addresses"] if isinstance(row["addresses"], str) else " ".join(row["addresses"][1]),
        dhcp=bool(row["dhcpv4_options"][1]),
        chassis=chassis.get(bound[1], "") if bound[0] == "uuid" else "",
        up=row["up"] is True and binding.get("up") is True,
    )


def _interfaces(host: LabHost, timeout: float) -> Iterator[RunningInterface]:
    domain = name = ""
    for line in host.run(["sh", "-c", _RUNNING], timeout=timeout).stdout.splitlines():
        words = line.split()
        if words[:1] == ["domain"]:
            _, domain, name = words
        elif len(words) == 5 and words[0].startswith("vnet"):
            yield RunningInterface(host.name, domain, name, words[4], words[0])


def _taps(host: LabHost) -> Iterator[ObservedTap]:
    for row in _rows(host, _VSWITCH, "Open_vSwitch", "Interface")["Interface"]:
        ids = dict(row["external_ids"][1])
        if "iface-id" in ids and "vm-id" in ids:
            yield ObservedTap(host.name, row["name"], ids["iface-id"], ids.get("vm-id", ""))


def _ids(row: Row) -> dict[str, str]:
    """Our keys of a row's external_ids."""
    pairs = row["external_ids"][1]
    return {key.removeprefix("ovnhook:"): value for key, value in pairs if key.startswith("ovnhook:")}


def _rows(host: LabHost, remote: str, database: str, *tables: str) -> dict[str, list[Row]]:
    select = [{"op": "select", "table": table, "where": []} for table in tables]
    done = host.run(["ovsdb-client", "--timeout=10", "transact", remote, json.dumps([database, *select])])
    results = json.loads(done.stdout)
    return {table: result["rows"] for table, result in zip(tables, results, strict=True)}
