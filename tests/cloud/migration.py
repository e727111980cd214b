"""Migrations as they go on, and where a domain's ports are when they are over."""

from __future__ import annotations

from typing import Any

from lab import LabHost
from tests.cloud.world import World

DIRTY = "while :; do head -c 16M /dev/zero >/run/dirty; done >/dev/null 2>&1 & echo $! >/run/dirty.pid"


def copying(world: World, name: str) -> bool:
    """Whether a domain's memory is being copied; as long as the guest writes more than the limit, it does not end."""
    return "Memory processed" in world.hv1.run(["virsh", "domjobinfo", name], check=False).stdout


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


def settled(world: World, name: str, host: LabHost) -> None:
    """Wait until a domain's ports are one host's alone."""
    here = {(host.name, host.name, host.name)}
    world.wait_for(lambda: where(world, name) == here, f"the ports to be {host.name}'s", lambda: where(world, name))


def migrate(world: World, name: str, source: LabHost, target: LabHost, *more: str, check: bool = True) -> Any:
    """Move a running domain."""
    return source.run(world.cloud.migrate_argv(name, target.name, *more), check=check)
