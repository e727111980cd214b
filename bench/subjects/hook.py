"""Cost of hook processes, and database load of a domain's start."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from bench.load import population
from bench.load.proxy import CountingProxy, counted
from bench.load.sites import NORTHBOUND, VSWITCH, NewDomain, Site, hook_argv, sites
from bench.report.measurement import Measurement, Target, compare, measured
from lab.product import PYTHON, configure

_OTHERS = Path(__file__).parents[1] / "others"
_BARE = [PYTHON, "-I", "-S", "-c", "pass"]

_TIMES = 41
_TIMES_NBCTL = 11  # they take long
_TIMES_OVSDBAPP = 3
_TIMES_ALONE = 15
_AT_ONCE = 50
_TIMES_AT_ONCE = 5

_QUIET = 1.0  # seconds
_IDLE = 5000  # bytes that the loops of an idle control service read in that time, at most
_TIMES_ASKED = 5

_LARGE = "10.9.0.0/18"

Ways = Mapping[str, tuple[Callable[[], float], int]]
"""Ways to measure, in milliseconds, and how often each."""


def measure() -> Iterator[Measurement]:
    """The rows of the hook's processes."""
    with sites(3, remote=True) as (empty, spread, dense, remote):
        for site in (empty, remote):
            population.make_subnets(site.northbound, [_LARGE])
        for site, cidrs in ((spread, population.HUNDRED), (dense, [_LARGE])):
            subnets = population.make_subnets(site.northbound, cidrs)
            population.attach(site.northbound, subnets, population.domains(population.PORTS), "other{}")
        for site in (empty, spread, dense, remote):
            # Its libvirt knows none of the domains: an agent that could ask would take their ports away again.
            site.host.daemons["agent"].stop()
            site.host.daemons["libvirtd"].pause()
            site.host.daemons["agent"].start()
        yield from _with_agent(empty, spread, dense, remote)
        yield from _at_once(empty)
        for site in (empty, spread, dense):
            site.host.daemons["agent"].stop()
        yield from _alone(empty, spread, dense)
        yield from _asked(empty, spread, dense)


def in_turn(ways: Ways) -> dict[str, list[float]]:
    """Measure in turn, so that the load of the machine affects all alike; rarer ones are spread evenly."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    most = max(times for _, times in ways.values())
    for way, _ in ways.values():
        way()
    for number in range(most):
        for name, (way, times) in ways.items():
            if number * times // most != (number + 1) * times // most:
                found[name].append(way())
    return found


def _with_agent(empty: Site, spread: Site, dense: Site, remote: Site) -> Iterator[Measurement]:
    found = in_turn(
        {
            "bare": (lambda: 1000 * empty.run(_BARE, given=NewDomain.new().xml).seconds, _TIMES),
            "nothing": (lambda: 1000 * empty.hook("started", NewDomain.new().xml).seconds, _TIMES),
            "empty": (lambda: _prepare(empty), _TIMES),
            "spread": (lambda: _prepare(spread), _TIMES),
            "dense": (lambda: _prepare(dense), _TIMES),
            "remote": (lambda: _prepare(remote), _TIMES),
            "nbctl": (lambda: _other(spread, "nbctl"), _TIMES_NBCTL),
            "ovsdbapp": (lambda: _other(spread, "ovsdbapp"), _TIMES_OVSDBAPP),
        }
    )
    bare, at_most = "python3 -I -S -c pass", Target("≤", 1.2)
    yield compare(
        "hook", "hook, an operation that needs nothing", bare, found["nothing"], found["bare"], target=Target("≤", 1.3)
    )
    yield compare(
        "hook", "hook, prepare, agent up, 0 ports", bare, found["empty"], found["bare"], target=Target("≤", 2.0)
    )
    yield compare(
        "hook", "hook, prepare, agent up, control service on another host, by TLS", "on the same host, by its socket",
        found["remote"], found["empty"], target=None,
    )  # fmt: skip
    for name, what in (("spread", "10,000 ports in 100 subnets"), ("dense", "10,000 leases in one subnet")):
        yield compare(
            "hook", f"hook, prepare, agent up, {what}", "with 0 ports", found[name], found["empty"], target=at_most
        )
    for name, what, least in (
        ("nbctl", "a hook of two ovn-nbctl calls", 10.0),
        ("ovsdbapp", "a hook with plain ovsdbapp", 100.0),
    ):
        yield compare(
            "hook",
            "hook, prepare, agent up, 10,000 ports in 100 subnets",
            f"{what}, the same ports",
            [median(found["spread"])] * len(found[name]),
            found[name],
            target=Target("≥", least),
            inverse=True,
        )


def _alone(empty: Site, spread: Site, dense: Site) -> Iterator[Measurement]:
    found = in_turn(
        {
            "empty": (lambda: _prepare(empty), _TIMES_ALONE),
            "spread": (lambda: _prepare(spread), _TIMES_ALONE),
            "dense": (lambda: _prepare(dense), _TIMES_ALONE),
            "nbctl": (lambda: _other(spread, "nbctl"), _TIMES_ALONE),
        }
    )
    for name, what in (("spread", "10,000 ports in 100 subnets"), ("dense", "10,000 leases in one subnet")):
        yield compare(
            "hook", f"hook, prepare, agent away, {what}", "with 0 ports", found[name], found["empty"],
            target=Target("≤", 1.2),
        )  # fmt: skip
    yield compare(
        "hook",
        "hook, prepare, agent away, 10,000 ports in 100 subnets",
        "a hook of two ovn-nbctl calls, the same ports",
        found["spread"],
        found["nbctl"],
        target=Target("≥", 2.0),
        inverse=True,
    )


def _at_once(site: Site) -> Iterator[Measurement]:
    """Start fifty domains: in sequence, and in parallel."""
    together, alone = [], []
    for _ in range(_TIMES_AT_ONCE):
        guests = [NewDomain.new() for _ in range(_AT_ONCE)]
        alone.append(_AT_ONCE / sum(site.hook("prepare", guest.xml).seconds for guest in guests))
        _check(site, guests)
        guests = [NewDomain.new() for _ in range(_AT_ONCE)]
        done = site.run(*[hook_argv("prepare")] * _AT_ONCE, given=[guest.xml for guest in guests])
        if any(done.codes) or any(done.said):
            raise RuntimeError(f"hooks failed: {done.said}")
        together.append(_AT_ONCE / done.seconds)
        _check(site, guests)
    yield compare(
        "hook",
        f"hook, prepare, {_AT_ONCE} at once, one subnet",
        "one at a time",
        together,
        alone,
        target=Target("≥", 1.5),
        unit="/s",
    )


def _asked(*places: Site) -> Iterator[Measurement]:
    """Transactions and bytes of one start. The hook without agent does the same work as with it.

    The median of several: a loop of the control service may read something meanwhile.
    """
    found: list[tuple[int, int, float]] = []
    for site in places:
        starts: list[tuple[int, int, int]] = []
        northbound, vswitch = (site.host.outside_path(path) for path in (NORTHBOUND, VSWITCH))
        with counted(northbound) as nb, counted(vswitch) as ovs:
            proxy_nb, proxy_ovs = (path.replace(".sock", ".proxy") for path in (NORTHBOUND, VSWITCH))
            configure(site.host, {"northbound": f"unix:{proxy_nb}", "vswitch": f"unix:{proxy_ovs}"})
            site.host.daemons["control"].restart()
            for number in range(_TIMES_ASKED):
                _settle(nb)
                nb.reset()
                ovs.reset()
                guest = NewDomain.new()
                site.hook("prepare", guest.xml)
                device = f"vnet{len(found)}{number}"
                site.host.run(guest.plug_argv(device))
                for operation in ("start", "started"):
                    site.hook(operation, guest.plugged(device))
                starts.append((nb.writes, ovs.writes, nb.sent))
                site.forget(guest.uuid)
            found.append(
                (max(one[0] for one in starts), max(one[1] for one in starts), median(one[2] for one in starts))
            )
            configure(site.host, {})
            site.host.daemons["control"].restart()
    (nb_writes, ovs_writes, alone), spread, dense = found
    one = "transactions that write, one start"
    yield measured("hook", f"northbound {one}", [nb_writes], target=Target("=", 1, ""))
    yield measured("hook", f"Open vSwitch {one}", [ovs_writes], target=Target("≤", 1, ""))
    for (_, _, sent), what in ((spread, "10,000 ports in 100 subnets"), (dense, "10,000 leases in one subnet")):
        yield compare(
            "hook", f"bytes on the northbound connection, one start, {what}", "with 0 ports", [sent], [alone],
            target=Target("≤", 1.1), unit="B",
        )  # fmt: skip


def _settle(proxy: CountingProxy) -> None:
    """Wait until the control service has read all rows."""
    before = -_IDLE - 1
    while proxy.sent > before + _IDLE:
        before = proxy.sent
        time.sleep(_QUIET)


def _prepare(site: Site) -> float:
    """Milliseconds of the hook for a new domain."""
    guest = NewDomain.new()
    took = site.hook("prepare", guest.xml).seconds
    site.forget(guest.uuid)
    return 1000 * took


def _other(site: Site, name: str) -> float:
    """Milliseconds of another hook."""
    guest = NewDomain.new()
    done = site.run([str(_OTHERS / name), "vm", "prepare", "begin", "-"], given=guest.xml)
    if any(done.codes) or any(done.said):
        raise RuntimeError(f"{name}: {done.said[0]}")
    site.remove_port(guest.interface_id)
    return 1000 * done.seconds


def _check(site: Site, guests: list[NewDomain]) -> None:
    """Check that each domain has a port with a unique address, and remove them."""
    ports = {port.domain: port for port in site.northbound.ports(population.soon())}
    if {*ports} != {guest.uuid for guest in guests}:
        raise RuntimeError(f"{len(guests)} domains started, and {len(ports)} have a port")
    if len({port.addresses for port in ports.values()}) != len(ports):
        raise RuntimeError("two domains have one address")
    for guest in guests:
        site.forget(guest.uuid)
