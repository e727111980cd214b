"""Guests in the cloud that is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lab import Guest, LabCloud
from lab.domain import domain_xml

TIMEOUT = 60.0  # seconds


@contextmanager
def cloud() -> Iterator[LabCloud]:
    """A lab with a default subnet."""
    with LabCloud(f"b{os.getpid()}") as made:
        made.control.run(["ovnhook", "subnet", "create", "default", "10.10.0.0/24", "--default"])
        yield made


def boot(made: LabCloud, host: str, name: str, interface: str) -> Guest:
    """Start a guest and wait until it has its address."""
    made.host(host).run(["virsh", "define", "/dev/stdin"], input=domain_xml(name, [interface]))
    made.host(host).run(["virsh", "start", name])
    guest = Guest(made.host(host), name)
    guest.wait_address(timeout=TIMEOUT)
    return guest
