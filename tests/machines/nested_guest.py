"""A guest on an emulated machine: the lab's guest with an init of its own, for it is emulated twice."""

from __future__ import annotations

import re

from lab import guest_commands
from lab.domain import CMDLINE, CONSOLES, domain_xml, interface_xml
from tests.machines.disk_image import GUEST
from tests.machines.typed_page import DISK, follow
from tests.machines.virtual_machine import LONG, VirtualMachine

_ADDRESS = re.compile(r"lab: address eth0 \S+ ([0-9.]+)/")
_KNOCK = 5.0  # seconds
_INIT = "rdinit=/init-machine"
_TMPFILES = f"d {CONSOLES} 0755 libvirt-qemu kvm\n"


class NestedGuest:
    """A domain on a machine, with one interface.

    Args:
        name: of the domain.
        machine: the machine that it is on now; another one after a migration.
    """

    def __init__(self, name: str, machine: VirtualMachine) -> None:
        self.name = name
        self.machine = machine

    def define(self) -> None:
        """Define the domain, with an interface on br-int that names no subnet."""
        self._make_folder()
        xml = domain_xml(self.name, [interface_xml()], boots=GUEST, cmdline=_INIT, spare_slots=0)
        self.machine.write(xml, f"/root/{self.name}.xml")
        self.machine.run(f"virsh define /root/{self.name}.xml")

    def install(self, page: str) -> None:
        """Make and start the domain by a page's commands (tests.machines.typed_page), and wait for an address."""
        self._make_folder()
        consoles, words = f"{CONSOLES}/{self.name}", f"{CMDLINE.format(dhcp='retry')} {_INIT}"
        port = "--serial unix,source.mode=bind,source.path"
        instead = (
            f"--disk none --boot kernel={GUEST.kernel},initrd={GUEST.initramfs},kernel_args='{words}'"
            f" {port}={consoles}.sock,log.file={consoles}.log,log.append=off {port}={consoles}.cmd"
            " --virt-type qemu --graphics none --controller usb,model=none --rng none --noautoconsole"
        )
        follow(self.machine, page, {DISK: instead})
        self._wait()

    def start(self) -> None:
        """Start it, and wait until it has an address."""
        self.machine.run(f"virsh start {self.name}")
        self._wait()

    def address(self) -> str:
        """The address that it got by DHCP last, on this machine; empty while it has none."""
        found = _ADDRESS.findall(self.machine.run(f"cat {CONSOLES}/{self.name}.log", check=False))
        return found[-1] if found else ""

    def run(self, command: str) -> str:
        """Run a command in it; returns the output. It may fail."""
        with self.machine.socket(f"{CONSOLES}/{self.name}.cmd") as port:
            return guest_commands.execute(port, command, LONG, knock=_KNOCK)[1]

    def reaches(self, target: str) -> None:
        """Wait until a ping of it is answered: the first packets may be lost while addresses are resolved."""
        ping = f"ping -c 3 -W 5 {target}"
        self.machine.wait_for(lambda: "3 packets received" in self.run(ping), f"{self.name} to reach {target}")

    def _make_folder(self) -> None:
        """Make the folder of consoles, now and at each boot."""
        self.machine.write(_TMPFILES, "/etc/tmpfiles.d/guests.conf")
        self.machine.run("systemd-tmpfiles --create guests.conf")

    def _wait(self) -> None:
        self.machine.wait_for(self.address, f"{self.name} to have an address")
