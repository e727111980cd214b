"""Cache of libvirt's QEMU capabilities between labs: probing takes seconds without KVM."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lab import state
from lab.host import LabHost

FOLDER = "/var/cache/libvirt/qemu/capabilities"
PROGRAMS = (Path("/usr/sbin/libvirtd"), Path("/usr/bin/qemu-system-x86_64"))


def share(hosts: Iterable[LabHost]) -> None:
    """Copy the cache to the hosts; without a cache the first host probes.

    libvirt itself checks that it is valid.
    """
    known = _folder()
    for host in hosts:
        if not known.exists():
            host.run(["virsh", "domcapabilities", "--virttype", "qemu", "--machine", "q35"])
            _keep(host, known)
        target = host.outside_path(FOLDER)
        target.mkdir(parents=True, exist_ok=True)
        for path in known.iterdir():
            if not (target / path.name).exists():
                shutil.copyfile(path, target / path.name)


def _folder() -> Path:
    """The cache folder for these versions of programs and kernel."""
    parts = [os.uname().release, *(f"{path} {path.stat().st_mtime_ns}" for path in PROGRAMS)]
    return state.CACHE / f"capabilities-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _keep(host: LabHost, known: Path) -> None:
    state.CACHE.mkdir(parents=True, exist_ok=True)
    with state.lock(state.CACHE):
        if known.exists():
            return
        with tempfile.TemporaryDirectory(dir=state.CACHE, prefix="tmp.") as name:
            made = Path(name) / "capabilities"
            shutil.copytree(host.outside_path(FOLDER), made)
            made.rename(known)
