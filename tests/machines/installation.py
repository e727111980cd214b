"""Installation of the packages on machines, as a person does it, and what machines say of themselves afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.machines.virtual_machine import VirtualMachine

CONTROL = "ovnhook-control"
HYPERVISOR = "ovnhook-hypervisor"
_LIBRARY = "python3-ovnhook"
_DIST = "/root/dist"


def put(machine: VirtualMachine, debs: Iterable[Path], kinds: Sequence[str] = (CONTROL, HYPERVISOR)) -> None:
    """Copy packages of these kinds to where ``make packages`` leaves them, as seen from the home of root."""
    machine.run(f"rm -rf {_DIST}; mkdir {_DIST}")
    for deb in debs:
        if deb.name.partition("_")[0] in (_LIBRARY, *kinds):
            machine.put(deb, f"{_DIST}/{deb.name}")


def install(machine: VirtualMachine, debs: Iterable[Path], kinds: Sequence[str] = (CONTROL, HYPERVISOR)) -> str:
    """Install packages of these kinds with apt; returns what apt says."""
    put(machine, debs, kinds)
    return machine.run(f"DEBIAN_FRONTEND=noninteractive apt-get -qy install {_DIST}/*.deb")


def init(machine: VirtualMachine, command: str) -> list[str]:
    """Set a host up; returns what was changed. It is repeated if a service was too slow, as the how-to says."""
    said: list[str] = []

    def done() -> bool:
        said[:] = machine.run(f"{command}; echo exit status $?", check=False).splitlines()
        return said[-1] == "exit status 0"

    machine.wait_for(done, f"{command}, which said {said}")
    return [line for line in said[:-1] if not line.startswith("unchanged  ")]


def is_well(machine: VirtualMachine) -> bool:
    """Return whether the cloud has no problem, as a control host sees it."""
    return "ok" in machine.run("ovnhook status", check=False).split()


def settle(machine: VirtualMachine) -> None:
    """Wait until the cloud has no problem."""
    machine.wait_for(lambda: is_well(machine), "status to be ok")


def denied(machine: VirtualMachine) -> list[str]:
    """What AppArmor has denied since the machine booted."""
    return [line for line in machine.run("journalctl -k --no-pager").splitlines() if 'apparmor="DENIED"' in line]
