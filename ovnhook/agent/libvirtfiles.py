"""libvirt's network files.

A domain's XML lacks its network's default portgroup, and a hook must not call libvirt, which waits for it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ovnhook.base.errors import InvalidRequest
from ovnhook.domains import networkxml
from ovnhook.domains.networkxml import LibvirtNetwork

_log = logging.getLogger(__name__)

FOLDERS = (Path("/run/libvirt/network"), Path("/etc/libvirt/qemu/networks"))
"""Directories of active networks (live XML) and of persistent ones."""

_MOST = 1 << 20  # bytes


def network(name: str, level: int = logging.WARNING) -> LibvirtNetwork | None:
    """Read a network; None if its file is missing or unreadable, which is logged at `level`."""
    if not name or "/" in name:  # not a valid network name
        return None
    for folder in FOLDERS:
        path = folder / f"{name}.xml"
        try:
            return networkxml.parse(_read(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, InvalidRequest) as error:
            _log.log(level, "libvirt network %s: its default portgroup is unknown: %s: %s", name, path, error)
            return None
    _log.log(level, "libvirt network %s: its default portgroup is unknown: it has no file", name)
    return None


def _read(path: Path) -> bytes:
    """Read a file, up to a limit, without blocking on FIFOs."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"it has more than {_MOST} bytes")
    return content
