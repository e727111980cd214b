"""Domain XML for guests of the lab."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from lab.image import Image, image

CONSOLES = "/run/lab/console"
"""The folder of the guests' serial sockets: a folder of its own on each host, at the same path on all."""

CMDLINE = (
    "console=ttyS0 quiet loglevel=3 panic=1 nokaslr mitigations=off no_timer_check random.trust_cpu=on "
    "8250.nr_uarts=2 lab.dhcp={dhcp}"
)

CPU = (
    "<cpu mode='custom' match='exact' check='none'><model>qemu64</model><feature policy='require' name='rdrand'/></cpu>"
)
"""Emulated, with a source of random numbers: a guest that has none waits for seconds to have collected some."""

Nic = str | tuple[str, str]
"""An interface: its XML, or (MAC, kind) where kind is "bridge" (on br-int) or the name of a libvirt network."""


def interface_xml(mac: str = "", kind: str = "bridge", *, interface_id: str = "", bridge: str = "br-int") -> str:
    """An interface on the integration bridge (kind "bridge"), or on the libvirt network called ``kind``."""
    parts = ["<interface type='bridge'>" if kind == "bridge" else "<interface type='network'>"]
    if mac:
        parts.append(f"<mac address={quoteattr(mac)}/>")
    if kind == "bridge":
        parts.append(f"<source bridge={quoteattr(bridge)}/>")
        if interface_id:
            parameters = f"<parameters interfaceid={quoteattr(interface_id)}/>"
            parts.append(f"<virtualport type='openvswitch'>{parameters}</virtualport>")
        else:
            parts.append("<virtualport type='openvswitch'/>")
    else:
        parts.append(f"<source network={quoteattr(kind)}/>")
    parts.append("<model type='virtio'/><rom enabled='no'/></interface>")
    return "".join(parts)


def domain_xml(
    name: str,
    interfaces: Iterable[Nic] = (("", "bridge"),),
    *,
    identity: str | uuid.UUID | None = None,
    metadata: str = "",
    memory: int = 0,
    dhcp: str = "retry",
    cmdline: str = "",
    spare_slots: int = 2,
    boots: Image | None = None,
) -> str:
    """The XML of a guest.

    ``metadata`` is what stands inside ``<metadata>``; ``dhcp`` is once, retry or none; ``memory`` is in MiB (0: what
    the image needs); ``spare_slots`` is how many interfaces can be plugged in later.
    """
    boots = boots or image()
    nics = [nic if isinstance(nic, str) else interface_xml(*nic) for nic in interfaces]
    socket = f"{CONSOLES}/{name}"
    words = " ".join(filter(None, (CMDLINE.format(dhcp=dhcp), boots.cmdline, cmdline)))
    parts = [
        "<domain type='qemu'>",
        f"<name>{escape(name)}</name>",
        f"<uuid>{identity}</uuid>" if identity else "",
        f"<metadata>{metadata}</metadata>" if metadata else "",
        f"<memory unit='MiB'>{memory or boots.memory}</memory><vcpu>1</vcpu>",
        "<os><type arch='x86_64' machine='q35'>hvm</type>",
        f"<kernel>{boots.kernel}</kernel><initrd>{boots.initramfs}</initrd><cmdline>{escape(words)}</cmdline></os>",
        CPU,
        "<features><acpi/></features><clock offset='utc'/>",
        "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>",
        "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>",
        *_serials(socket),
        *_disks(boots.disk),
        *nics,
        "<controller type='usb' model='none'/><controller type='pci' model='pcie-root'/>",
        *("<controller type='pci' model='pcie-root-port'/>" for _ in range(len(nics) + bool(boots.disk) + spare_slots)),
        "<memballoon model='none'/></devices></domain>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _serials(socket: str) -> Sequence[str]:
    path, commands, log = (quoteattr(socket + end) for end in (".sock", ".cmd", ".log"))
    kept = f"<log file={log} append='off'/>"
    return (
        f"<serial type='unix'><source mode='bind' path={path}/>{kept}<target port='0'/></serial>",
        f"<serial type='unix'><source mode='bind' path={commands}/><target port='1'/></serial>",
    )


def _disks(disk: Path | None) -> Sequence[str]:
    """A disk that guests of all hosts share, and only read."""
    if disk is None:
        return ()
    source = f"<driver name='qemu' type='raw'/><source file={quoteattr(str(disk))}/>"
    return (f"<disk type='file'>{source}<target dev='vda' bus='virtio'/><readonly/><shareable/></disk>",)
