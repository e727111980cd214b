"""Live migration between two hypervisors, with a guest that answers pings all the while."""

from __future__ import annotations

import re
from typing import Any

from lab import Guest, Host
from lab.domain import interface_xml
from tests.cloud.world import World

RATE = 10  # pings a second
MOST_LOST = 3  # of them, in one migration


class Pings:
    """Pings to an address from a guest, in the background, each with its number."""

    def __init__(self, world: World, guest: Guest, address: str) -> None:
        self.world, self.guest = world, guest
        guest.console(f"ping -i {1 / RATE} {address} >/run/pings 2>&1 & echo $! >/run/pings.pid")
        world.wait_for(lambda: len(self._answers()) > RATE, "answers")
        self.since = self._answers()[-1]

    def settle(self) -> tuple[int, int]:
        """How many were lost, and how many answered twice, since this was asked last; when all is well for a second."""
        before = len(self._answers())
        self.world.wait_for(lambda: len(self._answers()) > before + RATE, "answers again")
        found = [number for number in self._answers() if number > self.since]
        lost, doubled = found[-1] - self.since - len(set(found)), len(found) - len(set(found))
        self.since = found[-1]
        return lost, doubled

    def _answers(self) -> list[int]:
        return [int(number) for number in re.findall(r"seq=(\d+)", self.guest.console("cat /run/pings"))]


def migrate(world: World, name: str, source: Host, target: Host, *more: str, check: bool = True) -> Any:
    """Move a running domain."""
    return source.run(world.cloud.migrate_argv(name, target.name, *more), check=check, timeout=120)


def where(world: World, name: str) -> set[tuple[str, str, str]]:
    """Of each of a domain's ports: its owner, the chassis that may bind it, and which one has."""
    found = set()
    for port in world.ports(name):
        options, ids = dict(port["options"][1]), port["external_ids"]
        find = ["ovn-sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port['name']}"]
        uuid = world.control.run(find).stdout.strip()
        chassis = world.control.run(["ovn-sbctl", "get", "Chassis", uuid, "name"]).stdout.strip() if uuid else ""
        assert ids["ovnhook:moving-to"] or "activation-strategy" not in options
        found.add((ids["ovnhook:host"], options["requested-chassis"], chassis))
    return found


def test_there_and_back(world: World) -> None:
    """At most three pings are lost each time and none answered twice; one port and one lease throughout."""
    moves = world.boot(world.hv1, "moves", interface_xml())
    address = moves.wait_address()
    watches = world.boot(world.hv2, "watches", interface_xml())
    watches.wait_address()
    (port,) = world.ports("moves")
    leases = world.leases("moves")
    pings = Pings(world, watches, address)
    lost = []
    for source, target in [(world.hv1, world.hv2), (world.hv2, world.hv1)] * 2:
        migrate(world, "moves", source, target)
        lost.append(pings.settle())
        here = {(target.name, target.name, target.name)}
        world.wait_for(lambda: where(world, "moves") == here, "the port to be there alone")  # noqa: B023
        assert [one["_uuid"] for one in world.ports("moves")] == [port["_uuid"]]
        assert world.leases("moves") == leases
    print(f"lost and doubled at {RATE} a second: {lost}")
    assert max(missing for missing, _ in lost) <= MOST_LOST
    assert sum(doubled for _, doubled in lost) == 0
