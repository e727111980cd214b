"""Starts of domains in security groups, against those in none."""

from __future__ import annotations

from collections.abc import Iterator

from bench.load import population
from bench.load.sites import NewDomain, Site, sites
from bench.report.measurement import Measurement, Target, compare
from bench.subjects.hook import in_turn

_TIMES = 41
_GROUPS = ("one", "two", "three")


def measure() -> Iterator[Measurement]:
    """The hook of a start, in turn."""
    with sites(1) as (site,):
        population.make_subnets(site.northbound, ["10.9.0.0/18"])
        for group in _GROUPS:
            site.host.run(["ovnhook", "security-group", "create", group])
            site.host.run(["ovnhook", "security-group", "allow", group, "--from", "any", "--tcp", "80"])
        # Its libvirt knows none of the domains: an agent that could ask would take their ports away again.
        site.host.daemons["agent"].stop()
        site.host.daemons["libvirtd"].pause()
        site.host.daemons["agent"].start()
        found = in_turn({"three": (lambda: _prepare(site, *_GROUPS), _TIMES), "none": (lambda: _prepare(site), _TIMES)})
        yield compare(
            "groups", "hook, prepare, in three security groups", "in none", found["three"], found["none"],
            target=Target("≤", 1.1),
        )  # fmt: skip


def _prepare(site: Site, *groups: str) -> float:
    """Milliseconds of the hook for a new domain."""
    guest = NewDomain.new(*groups)
    seconds = site.hook("prepare", guest.xml).seconds
    site.forget(guest.uuid)
    return 1000 * seconds
