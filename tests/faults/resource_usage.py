"""Resources that a lab's agents and control service use, and files that are left over, before and after a soak."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import LabCloud
from tests.cloud.world import World

MOST_MEMORY = 16 << 10
"""KiB that a process may have grown by: what an allocator keeps for threads that came and went."""

MOST_FILES = 8
"""Files that a process may have open more than before: it keeps as many connections as it needed at once."""

_PAGES = re.compile(r"VmRSS:\s+(\d+) kB")


@dataclass(frozen=True)
class ProcessUsage:
    """Resources of a process; memory in KiB."""

    pid: int
    files: int
    threads: int
    memory: int


@dataclass(frozen=True)
class ResourceUsage:
    """Resources of a lab at a quiet moment, without a domain in it.

    Attributes:
        processes: the usage of each of our daemons, by host and name.
        rows: how many rows each table of the northbound database has.
        taps: the interfaces of each host's Open vSwitch.
        files: those in /run of each host, with their numbers left out: another pid, another name.
    """

    processes: Mapping[str, ProcessUsage]
    rows: Mapping[str, int]
    taps: Mapping[str, frozenset[str]]
    files: Mapping[str, int]


def measure(world: World) -> ResourceUsage:
    """A lab's footprint now."""
    cloud = world.cloud
    return ResourceUsage(
        processes={
            f"{host.name}/{name}": _usage(pid)
            for host in cloud.hosts.values()
            for name in ("agent", "control")
            if name in host.daemons and (pid := host.daemon(name).pid)
        },
        rows=Counter(key.partition(" ")[0] for key in world.rows()),
        taps={host.name: _interfaces(world, host.name) for host in cloud.hypervisors},
        files=Counter(_files(cloud)),
    )


def grown(before: ResourceUsage, after: ResourceUsage) -> list[str]:
    """What is more than before, in words."""
    wrong = []
    for name, was in before.processes.items():
        now = after.processes.get(name)
        if now is None or now.pid != was.pid:
            wrong.append(f"{name} is another process: it died")
            continue
        wrong += [
            f"{name} has {value} {what}, it had {had}"
            for what, had, value, most in (
                ("open files", was.files, now.files, was.files + MOST_FILES),
                ("threads", was.threads, now.threads, was.threads),
                ("KiB of memory", was.memory, now.memory, was.memory + MOST_MEMORY),
            )
            if value > most
        ]
    wrong += [
        f"{table} has {n} rows, it had {before.rows[table]}"
        for table, n in after.rows.items()
        if n != before.rows[table]
    ]
    wrong += [
        f"{host} has {sorted(now ^ before.taps[host])}" for host, now in after.taps.items() if now != before.taps[host]
    ]
    wrong += [
        f"{n} files {name}, there were {before.files[name]}"
        for name, n in after.files.items()
        if n > before.files[name]
    ]
    return wrong


def table(before: ResourceUsage, after: ResourceUsage) -> Iterator[str]:
    """What our daemons take, before and after, as lines."""
    for name, was in before.processes.items():
        now = after.processes.get(name, was)
        yield (
            f"{name:<16} files {was.files} -> {now.files}, threads {was.threads} -> {now.threads}, "
            f"memory {was.memory >> 10} -> {now.memory >> 10} MiB"
        )
    yield f"rows {sum(before.rows.values())} -> {sum(after.rows.values())}"


def _usage(pid: int) -> ProcessUsage:
    folder = Path(f"/proc/{pid}")
    memory = _PAGES.search((folder / "status").read_text(encoding="utf-8"))
    return ProcessUsage(
        pid=pid,
        files=len(list((folder / "fd").iterdir())),
        threads=len(list((folder / "task").iterdir())),
        memory=int(memory[1]) if memory else 0,
    )


def _interfaces(world: World, host: str) -> frozenset[str]:
    rows = world.vswitch(world.cloud.host(host))
    return frozenset(row["name"] for key, row in rows.items() if key.startswith("Interface"))


def _files(cloud: LabCloud) -> Iterator[str]:
    for host in cloud.hypervisors:
        for path in host.run_folder.rglob("*"):
            inside = path.relative_to(host.run_folder)
            # The lab's own: consoles of guests, and its folder seen from inside. And what each killed daemon of Open
            # vSwitch and OVN leaves of itself, ours having none: its control socket, named after its pid.
            if inside.parts[0] not in ("lab", "ovnhook-lab") and path.suffix != ".ctl" and not path.is_dir():
                yield f"{host.name}:/run/" + re.sub(r"\d+", "N", str(inside))
