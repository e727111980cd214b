"""Rows written and flows added for one more VM, also in a security group of 1,000."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from bench.load import by_hand, guests, population
from bench.load.population import soon
from bench.load.sites import VSWITCH, NewDomain, calls_of
from bench.report.measurement import Measurement, Target, compare
from lab import LabCloud
from lab.central import SCHEMA
from ovnhook.agent import libvirtfiles
from ovnhook.agent.host import Host as Product
from ovnhook.base.config import Config
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.resources.subnet.values import Subnet

_TIMES = 5
_MEMBERS = 1000
_CLOCKS = {"NB_Global", "SB_Global", "Chassis_Private", "Chassis"}  # their rows change continuously

Counts = tuple[float, float, float]
"""Northbound rows, southbound rows, flows."""


def measure() -> Iterator[Measurement]:
    """A VM by ovnhook and one by hand, in turn, on a subnet of a router; and one in a group and one in none."""
    ours: list[Counts] = []
    theirs: list[Counts] = []
    grouped: list[Counts] = []
    alone: list[Counts] = []
    with guests.cloud() as cloud:
        cloud.host("hv1").daemons["agent"].stop()
        world = _World(cloud)
        for number in range(_TIMES + 1):
            found = world.by_ovnhook(number), world.by_hand(number)
            if number:  # the first run creates shared rows
                ours.append(found[0])
                theirs.append(found[1])
        world.make_group("big")
        for number in range(_TIMES + 1, 2 * _TIMES + 2):
            found = world.by_ovnhook(number, "big"), world.by_ovnhook(number)
            if number > _TIMES + 1:
                grouped.append(found[0])
                alone.append(found[1])
    for place, what in enumerate(("northbound rows written", "southbound rows written", "flows added on its host")):
        yield compare(
            "port", f"one more VM, {what}", "one port by hand, same features",
            [one[place] for one in ours], [one[place] for one in theirs], target=Target("=", 1.0), unit="",
        )  # fmt: skip

    for place, what in enumerate(("northbound rows written", "southbound rows written")):
        yield compare(
            "port", f"one more VM in a security group of {_MEMBERS:,}, {what}", "in no group",
            [one[place] for one in grouped], [one[place] for one in alone], target=None, unit="",
        )  # fmt: skip


class _World:
    """An idle cloud."""

    def __init__(self, cloud: LabCloud) -> None:
        self._control, self._host = cloud.control, cloud.host("hv1")
        self._remote, southbound = (
            f"unix:{self._control.outside_path(f'/run/ovn/ovn{kind}_db.sock')}" for kind in ("nb", "sb")
        )
        self._databases = Database(self._remote, "OVN_Northbound"), Database(southbound, "OVN_Southbound")
        vswitch = f"unix:{self._host.outside_path(VSWITCH)}"
        self._product = Product(Config(vswitch=vswitch), calls_of(self._control))

    def make_group(self, name: str) -> None:
        """Make a security group whose members may reach each other: one is on this host, all others on another one."""
        self._control.run(["ovnhook", "security-group", "create", name])
        self._control.run(["ovnhook", "security-group", "allow", name, "--from", f"group:{name}", "--tcp", "80"])
        self._control.run(["ovnhook", "subnet", "create", name, "10.16.0.0/20"])
        northbound = Northbound(self._remote)
        subnets = [one for one in northbound.cloud(soon()).of(Subnet) if one.name == name]
        population.attach(northbound, subnets, population.domains(_MEMBERS, name), "hv2")
        guest = NewDomain.new(name)
        self._host.run([*guest.plug_argv("member"), "type=internal"])
        self._product.attach(self._domain(guest, "member"), soon())

    def by_ovnhook(self, number: int, *groups: str) -> Counts:
        """Count for a VM's start."""
        guest, device = NewDomain.new(*groups), f"ours{number}"
        domain = self._domain(guest, device)

        def remove() -> None:
            self._product.detach(domain, soon())
            self._product.release_leases(domain.uuid, soon())

        return self._count(guest, device, lambda: self._product.attach(domain, soon()), remove)

    @staticmethod
    def _domain(guest: NewDomain, device: str) -> Domain:
        return DomainXML(guest.plugged(device).encode()).domain("br-int", libvirtfiles.network)

    def by_hand(self, number: int) -> Counts:
        """Count for a manually created port."""
        guest, device, name, where = NewDomain.new(), f"hand{number}", f"vm-hand{number}", f"10.10.0.{200 + number}"
        port = guest.interface_id

        def add() -> None:
            by_hand.add(self._control, port, guest.mac, where, self._host.name, name)

        def remove() -> None:
            by_hand.remove(self._control, port, where, name)
            self._host.run(["ovs-vsctl", "del-port", "br-int", device])

        return self._count(guest, device, add, remove)

    def _count(self, guest: NewDomain, device: str, add: Callable[[], object], remove: Callable[[], object]) -> Counts:
        """Count from the plugged tap until the port is up."""
        self._host.run([*guest.plug_argv(device), "type=internal"])
        self._settle()
        before, flows = [self._versions(one) for one in self._databases], self._flows()
        add()
        self._control.run(
            [
                *("ovn-nbctl", f"--timeout={guests.TIMEOUT:.0f}"),
                *("wait-until", "Logical_Switch_Port", guest.interface_id, "up=true"),
            ],
            timeout=guests.TIMEOUT,
        )
        self._settle()
        after, more = [self._versions(one) for one in self._databases], self._flows() - flows
        remove()
        self._settle()
        northbound, southbound = (len(new.items() - old.items()) for old, new in zip(before, after, strict=True))
        return northbound, southbound, more

    def _settle(self) -> None:
        self._control.run(["ovn-nbctl", "--wait=hv", f"--timeout={guests.TIMEOUT:.0f}", "sync"], timeout=guests.TIMEOUT)

    def _flows(self) -> int:
        found = re.search(r"flow_count=(\d+)", self._host.run(["ovs-ofctl", "dump-aggregate", "br-int"]).stdout)
        assert found is not None
        return int(found[1])

    def _versions(self, database: Database) -> dict[str, str]:
        """Version of every row, by table and UUID."""
        kind = "nb" if database.name == "OVN_Northbound" else "sb"
        tables = json.loads((SCHEMA / f"ovn-{kind}.ovsschema").read_text())["tables"].keys() - _CLOCKS
        wanted = [select(table, columns=["_uuid", "_version"]) for table in tables]
        results = database.transact(wanted, soon())
        return {
            f"{table} {row['_uuid'][1]}": row["_version"][1]
            for table, found in zip(tables, results, strict=True)
            for row in found
        }
