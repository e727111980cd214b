"""The version before this one on a machine, and its upgrade."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.waiting import HANG
from tests.packages.guests import install
from tests.packages.machine import REPO, Machine, newer, packages
from tests.versions import PREVIOUS, unpack

_LIBRARY = "/usr/lib/python3/dist-packages"
_HOOK = "/etc/libvirt/hooks/qemu.d/ovnhook"
_OF_HOOK = Path("hooks", "qemu")


def downgrade(machine: Machine) -> None:
    """Put the code of the previous version in place of that of the installed packages."""
    with tempfile.TemporaryDirectory() as name:
        code = unpack(PREVIOUS, Path(name))
        archive = code / "code.tar"
        subprocess.run(["tar", "--create", f"--file={archive}", "ovnhook"], cwd=code, check=True, timeout=HANG)
        machine.put(archive, "/root/code.tar")
        machine.run(f"rm -r {_LIBRARY}/ovnhook; tar --extract --file=/root/code.tar --directory={_LIBRARY}")
        if machine.path(_HOOK).exists():
            machine.put(code / _OF_HOOK, _HOOK)
    machine.run("systemctl try-restart 'ovnhook-*.service'")


def upgrade(machine: Machine, kind: str) -> None:
    """Upgrade a host's packages as a person does, to this version.

    Args:
        machine: the host.
        kind: ``ovnhook-control`` or ``ovnhook-hypervisor``.
    """
    if machine.path(_HOOK).exists():
        machine.put(REPO / _OF_HOOK, _HOOK)  # dpkg keeps a conffile that was changed
    with tempfile.TemporaryDirectory() as name:
        install(machine, newer(_of(packages(), kind), Path(name)))


def _of(debs: Sequence[Path], kind: str) -> list[Path]:
    return [deb for deb in debs if deb.name.split("_")[0] in ("python3-ovnhook", kind)]
