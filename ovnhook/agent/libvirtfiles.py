"""The files in which libvirt keeps its networks.

A domain's XML does not have its network's default portgroup, and libvirt can't be asked: it waits for the hook.
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
"""Where active networks are, as they are at the moment, and those that are defined."""

_MOST = 1 << 20  # bytes


def network(name: str, level: int = logging.WARNING) -> LibvirtNetwork | None:
    """A network as libvirt has it, or None where its files don't say; why they don't is logged, at `level`."""
    if not name or "/" in name:  # libvirt allows no such name
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
    _log.log(level, "libvirt network %s: its default portgroup is unknown: libvirt has no file of it", name)
    return None


def _read(path: Path) -> bytes:
    """What is in a file, up to a limit; no open waits for another process."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"it has more than {_MOST} bytes")
    return content
