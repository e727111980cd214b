"""Memory of the process."""

from __future__ import annotations

import ctypes


def release_free() -> None:
    """Return free memory to the system (malloc_trim(3)), after large temporary objects. By itself, glibc keeps it."""
    ctypes.CDLL(None).malloc_trim(0)
