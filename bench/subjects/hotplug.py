"""Latency of hotplug: from the command until the port is up, or removed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.load.guests import TIMEOUT, boot, cloud
from bench.report.measurement import Measurement, Target, measured
from lab import LabHost
from lab.domain import interface_xml
from lab.waiting import until

TIMES = 20
_FIRST, _MAC = "52:54:00:be:0c:01", "52:54:00:be:0c:09"


def measure() -> Iterator[Measurement]:
    """Plug an interface in and out."""
    plugged, gone = [], []
    with cloud() as made:
        hv1 = made.host("hv1")
        boot(made, "hv1", "plugs", interface_xml(_FIRST))
        for _ in range(TIMES):
            plugged.append(_time(made.control, hv1, "attach-device", up=True))
            gone.append(_time(made.control, hv1, "detach-device", up=False))
    for what, found in (("plugged in, until its port is up", plugged), ("out, until its port is gone", gone)):
        yield measured("hotplug", f"interface {what}", found, "ms", Target("≤", 1000, "ms"))


def _time(control: LabHost, host: LabHost, verb: str, *, up: bool) -> float:
    """Milliseconds from the call of virsh to a port that is up, or to none."""
    ask = ["ovn-nbctl", "--bare", "--columns=up", "find", "Logical_Switch_Port", f'external_ids:ovnhook\\:mac="{_MAC}"']
    began = time.monotonic()
    host.run(["virsh", verb, "plugs", "/dev/stdin", "--live"], input=interface_xml(_MAC))
    wanted = "true" if up else ""
    until(lambda: control.run(ask).stdout.strip() == wanted, TIMEOUT, "the port", longest=0.01)
    return (time.monotonic() - began) * 1000
