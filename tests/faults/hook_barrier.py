"""A barrier for libvirt at one step of one domain, by hooks before and after ours: a fault comes at that moment."""

from __future__ import annotations

from collections.abc import Callable

from lab import LabHost
from lab.waiting import until

_SCRIPT = """\
#!/bin/sh
gate=/run/lab/${0##*/}
[ "$1 $2" = "$(cat $gate 2>/dev/null)" ] || exit 0
: >$gate.reached
rounds=0
while [ ! -e $gate.open ] && [ $rounds -lt %d ]; do sleep 0.05; rounds=$((rounds + 1)); done
"""

BEFORE, AFTER, NEIGHBOUR = "a-gate", "z-gate", "zz-gate"
"""The names of the hooks: libvirt calls those of its folder in the order of their names, and ours is `ovnhook`."""


class HookBarrier:
    """One step of one domain on one host, held for some seconds at most.

    Args:
        host: where libvirt is held.
        hook: BEFORE or AFTER ours, or NEIGHBOUR.
        domain: its name.
        operation: as libvirt calls the step.
        most: seconds.
    """

    def __init__(self, host: LabHost, hook: str, domain: str, operation: str, most: float = 5.0) -> None:
        self._folder = host.run_folder / "lab"
        self._hook = hook
        host.write(f"/etc/libvirt/hooks/qemu.d/{hook}", _SCRIPT % (most / 0.05), 0o755)
        (self._folder / hook).write_text(f"{domain} {operation}", encoding="utf-8")

    def wait_reached(self, timeout: float, has_ended: Callable[[], bool] = lambda: False) -> None:
        """Wait until libvirt is there, or its operation has ended before.

        Raises:
            WaitError: neither came about.
        """
        reached = self._folder / f"{self._hook}.reached"
        until(lambda: reached.exists() or has_ended(), timeout, "libvirt to come to the step")

    def open(self) -> None:
        """Let libvirt go on."""
        (self._folder / f"{self._hook}.open").touch()

    def remove(self) -> None:
        """Take it away; the hooks stay and do nothing."""
        for end in ("", ".reached", ".open"):
            (self._folder / f"{self._hook}{end}").unlink(missing_ok=True)
