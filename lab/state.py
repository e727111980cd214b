"""State folders of labs, and their traces on the machine while they run."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import LabError
from lab.waiting import HANG

ROOT = Path("/run/ovnhook-lab")
CACHE = Path("/var/cache/ovnhook-lab")
MADE = ROOT / ".made"


def folder(prefix: str) -> Path:
    """The state folder of the lab with this prefix."""
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", prefix):
        raise LabError(f"prefix {prefix!r}: a letter and up to 11 more letters or digits, all small")
    return ROOT / prefix


def prefixes() -> list[str]:
    """The prefixes of all labs that have state."""
    if not ROOT.is_dir():
        return []
    return sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))


@contextmanager
def lock(path: Path = Path("/run")) -> Iterator[None]:
    """Hold the lock of a folder against other labs on this machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_mount_points(points: Iterable[Path]) -> None:
    """Make the folders that are missing on this machine, and note which ones they were."""
    with lock():
        ROOT.mkdir(parents=True, exist_ok=True)
        made: list[str] = json.loads(MADE.read_text(encoding="utf-8")) if MADE.exists() else []
        for point in points:
            missing = [part for part in (point, *point.parents) if not part.exists()]
            for part in reversed(missing):
                part.mkdir()
                made.append(str(part))
        MADE.write_text(json.dumps(made), encoding="utf-8")


def forget_mount_points() -> None:
    """Remove the folders that labs made, when no lab is left to need them."""
    with lock():
        if not ROOT.is_dir() or prefixes():
            return
        made: list[str] = json.loads(MADE.read_text(encoding="utf-8")) if MADE.exists() else []
        for name in reversed(made):
            with suppress(OSError):
                Path(name).rmdir()
        MADE.unlink(missing_ok=True)
        with suppress(OSError):
            ROOT.rmdir()


def make_private(path: Path) -> None:
    """Make a folder a private mount: namespaces can only be kept in such a one."""
    for arguments in (["--bind", str(path), str(path)], ["--make-private", str(path)]):
        subprocess.run(["mount", *arguments], check=True, timeout=HANG)


def unmount(path: Path) -> None:
    """Unmount a folder, as often as it is mounted."""
    while _bound(path):
        subprocess.run(["umount", "-R", str(path)], check=True, timeout=HANG)


def _bound(path: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    return any(line.split()[4] == str(path) for line in mounts.splitlines())
