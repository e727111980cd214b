"""A cpio archive in the form that the kernel unpacks ("newc"), with devices, and the same bytes every time."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath


class Archive:
    """An archive being written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._folders: set[str] = set()
        self._count = 0

    def folder(self, name: str) -> None:
        """Add a folder, if it is not there."""
        if name in self._folders or name == ".":
            return
        self._above(name)
        self._folders.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int) -> None:
        """Add a file with the folders above it."""
        self._above(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._above(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, mode: int, major: int, minor: int) -> None:
        """Add a character device."""
        self._above(name)
        self._entry(name, stat.S_IFCHR | mode, major=major, minor=minor)

    def finish(self) -> bytes:
        """The archive's bytes."""
        self._entry("TRAILER!!!", 0)
        return b"".join(self._parts)

    def _above(self, name: str) -> None:
        self.folder(str(PurePosixPath(name).parent))

    def _entry(self, name: str, mode: int, data: bytes = b"", *, major: int = 0, minor: int = 0) -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._parts += [_padded(header + encoded), _padded(data)]


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
