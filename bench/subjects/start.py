"""``virsh start`` of a real guest: with ovnhook, and without a hook and with a manually created port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

from bench.load import by_hand, guests
from bench.report.measurement import Measurement, Target, compare
from lab import Guest, LabHost
from lab.domain import domain_xml, interface_xml
from lab.hypervisor import remove_hook

_TIMES = 15
_GATEWAY = "10.10.0.1"


def measure() -> Iterator[Measurement]:
    """Time until libvirt has started a guest, and until the guest reaches its gateway."""
    started: tuple[list[float], list[float]] = [], []
    answered: tuple[list[float], list[float]] = [], []
    with guests.cloud() as cloud:
        with_hook, without = cloud.hypervisors
        remove_hook(without)
        without.daemon("libvirtd").restart()  # it looks for hooks when it starts
        for number, host in enumerate((with_hook, without)):
            mac, port = f"52:54:00:be:0c:0{number}", str(uuid4())
            if host is without:
                by_hand.add(cloud.control, port, mac, "10.10.0.200", host.name, "by-hand")
            xml = domain_xml("starts", [interface_xml(mac, interface_id=port)])
            host.run(["virsh", "define", "/dev/stdin"], input=xml)
        for _ in range(_TIMES):
            for number, host in enumerate((with_hook, without)):
                one, other = _start(host)
                started[number].append(one)
                answered[number].append(other)
    yield compare(
        "start", "virsh start of a guest", "no hook, port made beforehand", *started, target=Target("≤", 60, "ms")
    )
    yield compare(
        "start", "from virsh start to its gateway's first answer", "no hook, port made beforehand", *answered,
        target=Target("≤", 1.05),
    )  # fmt: skip


def _start(host: LabHost) -> tuple[float, float]:
    """Milliseconds until virsh is done, and until a ping of the guest is answered."""
    guest = Guest(host, "starts")
    guest.log.unlink(missing_ok=True)
    began = time.perf_counter()
    host.run(["virsh", "start", "starts"])
    started = time.perf_counter()
    guest.wait_address(timeout=guests.TIMEOUT)
    guest.console(f"until ping -c 1 -W 1 {_GATEWAY}; do :; done", timeout=guests.TIMEOUT)
    answered = time.perf_counter()
    host.run(["virsh", "destroy", "starts"])
    return 1000 * (started - began), 1000 * (answered - began)
