"""A guest on a machine: what it takes to start one there, and to ask it."""

from __future__ import annotations

import re
from pathlib import Path

from lab import guest_commands
from lab.domain import CONSOLES, domain_xml, interface_xml
from lab.image import image
from lab.waiting import HANG
from tests.packages.machine import Machine

QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
"""
"""What a machine in a container needs; a real host needs none of it."""


def install(machine: Machine, debs: list[Path]) -> str:
    """Install packages from files."""
    for deb in debs:
        machine.put(deb, f"/root/{deb.name}")
    names = " ".join(f"/root/{deb.name}" for deb in debs)
    return machine.run(f"apt-get -qy install {names}")


def guest(machine: Machine, command: str, name: str = "web1") -> str:
    """Run a command in the guest."""
    status, said = guest_commands.execute(machine.path(f"{CONSOLES}/{name}.cmd"), command, HANG)
    assert status == 0, said
    return said


def address(machine: Machine, name: str = "web1") -> str:
    """The address that the guest has by DHCP."""
    log = machine.path(f"{CONSOLES}/{name}.log")
    found: list[str] = []

    def look() -> bool:
        found[:] = re.findall(
            r"lab: address eth0 \S+ ([0-9.]+)/", log.read_text(errors="replace") if log.exists() else ""
        )
        return bool(found)

    machine.wait_for(look, "the guest's address")
    return found[-1]


def start(machine: Machine, name: str = "web1") -> None:
    """Define a domain, which names no subnet, start it, and let it start at boot."""
    for file, inside in ((image().kernel, "vmlinuz"), (image().initramfs, "initramfs")):
        machine.put(file, f"/root/{inside}")
    xml = domain_xml(name, [interface_xml()])
    xml = xml.replace(str(image().kernel), "/root/vmlinuz").replace(str(image().initramfs), "/root/initramfs")
    machine.path(f"/root/{name}.xml").write_text(xml)
    machine.path("/etc/tmpfiles.d/lab.conf").write_text(f"d {CONSOLES} 0755 root root\n")
    define = f"virsh define /root/{name}.xml; virsh start {name}; virsh autostart {name}"
    machine.run(f"systemd-tmpfiles --create lab.conf; {define}")


def lost(machine: Machine) -> int:
    """How many pings of the guest have not been answered so far."""
    numbers = [int(number) for number in re.findall(r"seq=(\d+)", guest(machine, "cat /run/pings"))]
    return numbers[-1] - numbers[0] + 1 - len(set(numbers))


def goes_on(machine: Machine) -> None:
    """Wait until pings of the guest are answered again; how many were lost is a matter of speed."""

    def answered() -> int:
        return len(re.findall(r"seq=\d+", guest(machine, "cat /run/pings")))

    before = answered()
    machine.wait_for(lambda: answered() > before, "an answer")


def hear(machine: Machine) -> None:
    """Wait until ovn-controller hears what guests ask: to a bridge that is new it connects some seconds later."""
    connected = "grep 'pinctrl.*: connected' /var/log/ovn/ovn-controller.log"
    machine.wait_for(lambda: machine.run(connected, check=False), "ovn-controller to hear guests")


def reaches(machine: Machine, name: str, target: str) -> None:
    """A guest reaches an address: the first packet may be lost while a switch in userspace asks for the other host."""
    ping = f"ping -c 1 -W 2 {target} || true"
    machine.wait_for(lambda: " 0% packet loss" in guest(machine, ping, name), f"{name} to reach {target}")
