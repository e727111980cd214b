"""A guest that runs in the cloud that is measured, and waiting for what it does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab import Cloud, Guest
from lab.domain import domain_xml

PATIENCE = 60.0  # seconds


@contextmanager
def cloud() -> Iterator[Cloud]:
    """A lab with a default subnet."""
    with Cloud(f"b{os.getpid()}") as made:
        made.control.run(["ovnhook", "subnet", "create", "default", "10.10.0.0/24", "--default"])
        yield made


def boot(made: Cloud, host: str, name: str, interface: str) -> Guest:
    """Start a guest and wait until it has its address."""
    made.host(host).run(["virsh", "define", "/dev/stdin"], input=domain_xml(name, [interface]))
    made.host(host).run(["virsh", "start", name])
    guest = Guest(made.host(host), name)
    guest.wait_address(timeout=PATIENCE)
    return guest


def wait(condition: Callable[[], bool], what: str, pause: float = 0.2) -> None:
    """Wait until something is so; `pause` is what a look costs at most, in seconds.

    Raises:
        TimeoutError: it does not become so.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {PATIENCE:g} s")
        time.sleep(pause)
