"""A guest on a machine: what it takes to start one there, and to ask it."""

from __future__ import annotations

import re
from pathlib import Path

from lab import commands
from lab.domain import CONSOLES, domain_xml, interface_xml
from lab.image import image
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
    return machine.run(f"apt-get -qy install {names}", timeout=300)


def guest(machine: Machine, command: str) -> str:
    """Run a command in the guest."""
    status, said = commands.execute(machine.path(f"{CONSOLES}/web1.cmd"), command, 30)
    assert status == 0, said
    return said


def address(machine: Machine) -> str:
    """The address that the guest has by DHCP."""
    log = machine.path(f"{CONSOLES}/web1.log")
    found: list[str] = []

    def look() -> bool:
        found[:] = re.findall(
            r"lab: address eth0 \S+ ([0-9.]+)/", log.read_text(errors="replace") if log.exists() else ""
        )
        return bool(found)

    machine.wait_for(look, "the guest's address", 90)
    return found[-1]


def start(machine: Machine) -> None:
    """Define the domain web1, which names no subnet, start it, and let it start at boot."""
    for file, name in ((image().kernel, "vmlinuz"), (image().initramfs, "initramfs")):
        machine.put(file, f"/root/{name}")
    xml = domain_xml("web1", [interface_xml()])
    xml = xml.replace(str(image().kernel), "/root/vmlinuz").replace(str(image().initramfs), "/root/initramfs")
    machine.path("/root/web1.xml").write_text(xml)
    machine.path("/etc/tmpfiles.d/lab.conf").write_text(f"d {CONSOLES} 0755 root root\n")
    machine.run(
        "systemd-tmpfiles --create lab.conf; virsh define /root/web1.xml; virsh start web1; virsh autostart web1"
    )
