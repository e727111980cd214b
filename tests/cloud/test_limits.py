"""Rate limits, by packets: both directions, changed at run time, each port with its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lab.domain import interface_xml
from tests.cloud.boxes import Box, box
from tests.cloud.external import OUTSIDE, set_external_gateway
from tests.cloud.interfaces import MACS
from tests.cloud.world import World

PINGS = "for n in 1 2 3 4; do ping -q -s 1400 -i 0.02 {} >/dev/null 2>&1 & done"
"""Offers 2.3 Mbit/s, and on a very busy machine still more than the limits below; replies are as large."""

UNLIMITED = 300_000
"""Bits per second that no limit below lets through in a measurement, not even with a whole burst."""

WINDOW = 8  # seconds of a measurement
COUNTER = "cut -d' ' -f1 /proc/uptime; cat /sys/class/net/{}/statistics/rx_bytes"


def rate(run: Callable[[str], str], interface: str) -> float:
    """Bits per second that an interface receives, by the clock of its own machine."""
    count = COUNTER.format(interface)
    began, before, ended, after = map(float, run(f"{count}; sleep {WINDOW}; {count}").split())
    return (after - before) * 8 / (ended - began)


def inside(one: Box) -> Callable[[str], str]:
    """Run a command in the namespace of a box."""
    return lambda command: one.host.run(["ip", "netns", "exec", one.name, "/bin/sh", "-c", command]).stdout


def is_limited(found: float, kbit: int) -> bool:
    """Whether a rate is that of a limit."""
    return 0.8 * kbit < found / 1000 < 1.2 * kbit


def test_a_guest(world: World) -> None:
    """What it sends is limited on its host, and what comes back once more; live changes of its metadata apply."""
    limits = "limit-outbound='200k' limit-inbound='100k'"
    metadata = f"<ovn:interface mac='{MACS[0]}' {limits}/>"
    guest = world.boot(world.hv1, "limited", interface_xml(MACS[0]), metadata=metadata)
    guest.wait_address()
    with box(world, world.hv2, "boxa") as other:
        guest.reach(other.address)
        guest.console(PINGS.format(other.address))
        rates: dict[str, float] = {}

        def measured() -> str:
            return str(rates)

        def have(sent: Callable[[float], bool], received: Callable[[float], bool]) -> Callable[[], bool]:
            def check() -> bool:
                rates["sent"] = rate(inside(other), other.name)
                rates["received"] = rate(guest.console, "eth0")
                return sent(rates["sent"]) and received(rates["received"])

            return check

        world.wait_for(
            have(lambda found: is_limited(found, 200), lambda found: is_limited(found, 100)), "the limits", measured
        )
        command = ["virsh", "metadata", "limited", "urn:ovnhook:domain:1", "--live", "--key", "ovn", "--set"]
        world.hv1.run([*command, "<domain><interface limit-inbound='150k'/></domain>"])
        world.wait_for(
            have(lambda found: found > UNLIMITED, lambda found: is_limited(found, 150)), "one limit", measured
        )
        world.hv1.run([*command, "<domain><interface/></domain>"])
        world.wait_for(have(lambda found: found > UNLIMITED, lambda found: found > UNLIMITED), "no limit", measured)
    world.destroy(world.hv1, "limited")
    assert world.rows("QoS") == {}


def test_a_router(world: World) -> None:
    """All that goes outside has one limit, and all that comes back another; they change at run time."""
    set_external_gateway(world)
    world.ovnhook("router", "set", "gateway", "--limit-outbound", "200k", "--limit-inbound", "100k")
    outside = world.cloud.outside
    rates: dict[str, float] = {}

    def have(sent: Callable[[float], bool], received: Callable[[float], bool]) -> Callable[[], bool]:
        def check() -> bool:
            rates["sent"] = rate(lambda command: outside.run(["/bin/sh", "-c", command]).stdout, "ext0")
            rates["received"] = sum(rate(inside(one), one.name) for one in boxes)
            return sent(rates["sent"]) and received(rates["received"])

        return check

    try:
        with box(world, world.hv1, "boxa") as one, box(world, world.hv2, "boxb") as two:
            boxes = (one, two)
            with pinging(boxes, OUTSIDE):
                world.wait_for(
                    have(lambda found: is_limited(found, 200), lambda found: is_limited(found, 100)),
                    "the limits",
                    lambda: str(rates),
                )
                world.ovnhook("router", "set", "gateway", "--no-limit-outbound", "--limit-inbound", "150k")
                world.wait_for(
                    have(lambda found: found > UNLIMITED, lambda found: is_limited(found, 150)),
                    "one limit",
                    lambda: str(rates),
                )
    finally:
        world.ovnhook("router", "set", "gateway", "--no-external", "--force")
    assert world.rows("QoS") == {}


@contextmanager
def pinging(boxes: Iterable[Box], address: str) -> Iterator[None]:
    """Offer 1.1 Mbit/s from each box, once an address answers it."""
    processes = []
    try:
        for one in boxes:
            one.reach(address)
            pings = ["ping", "-q", "-s", "1400", "-i", "0.01", address]
            processes.append(one.host.spawn(f"pings-{one.name}", ["ip", "netns", "exec", one.name, *pings]))
        yield
    finally:
        for process in processes:
            process.stop()


def test_a_default_of_the_subnet(world: World) -> None:
    """Two ports of one host have a limit of their own each, also those that were there before it."""
    with (
        box(world, world.hv1, "boxa") as one,
        box(world, world.hv1, "boxb") as two,
        box(world, world.hv2, "boxc", "--limit-outbound", "none") as receiver,
    ):
        found = 0.0

        def arrives(is_right: Callable[[float], bool]) -> bool:
            nonlocal found
            found = rate(inside(receiver), receiver.name)
            return is_right(found)

        with pinging((one, two), receiver.address):
            world.ovnhook("subnet", "set", "default", "--limit-outbound", "100k")
            world.wait_for(lambda: arrives(lambda now: is_limited(now, 200)), "twice the limit", lambda: str(found))
            world.ovnhook("subnet", "set", "default", "--no-limit-outbound")
            world.wait_for(lambda: arrives(lambda now: now > UNLIMITED), "no limit", lambda: str(found))
    assert world.rows("QoS") == {}
