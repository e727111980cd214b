"""Operations of libvirt's qemu hook (https://libvirt.org/hooks.html)."""

from __future__ import annotations

from enum import Enum


class HookOperation(Enum):
    """Operation of a hook call, by its name. All names of operations that need no action are OTHER."""

    MIGRATE = "migrate"
    PREPARE = "prepare"
    START = "start"
    RELEASE = "release"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> HookOperation:
        return cls.OTHER

    @property
    def starts(self) -> bool:
        """Return whether it is part of a domain's start."""
        return self in (HookOperation.PREPARE, HookOperation.START)
