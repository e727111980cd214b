"""Allocation of free addresses for interfaces without a static one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted, OvnhookError
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.choice import Placement
from ovnhook.domains.place import Placed, lacking, within
from ovnhook.domains.values import Domain
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import Subnet

_BATCH = 1000  # addresses between two checks of the deadline


class _Search:
    """Search for a free address of one interface: its candidates, and the address found."""

    def __init__(self, domain: Domain, placement: Placement, network: IPNetwork) -> None:
        self.mac = placement.interface.mac
        self.subnet = placement.subnet
        self.candidates = address.candidates(self.subnet, network, f"{domain.uuid}/{self.mac}")
        self.found: IPAddress | None = None

    def take(self, candidates: Iterable[IPAddress], leased: set[UUID], taken: set[tuple[str, IPAddress]]) -> None:
        """Take the first candidate that is neither leased nor taken by another interface of the domain."""
        for one in candidates:
            if (self.subnet.name, one) not in taken and uuids.lease(self.subnet.name, str(one)) not in leased:
                self.found = one
                taken.add((self.subnet.name, one))
                return


def allocate(northbound: Northbound, domain: Domain, placed: Placed, deadline: Deadline) -> Placed:
    """Allocate the addresses that interfaces lack, searching for all of them together.

    Args:
        northbound: northbound database.
        domain: domain, whose UUID determines the first candidate (docs/explanation/decisions/0003).
        placed: placement of its interfaces; those whose subnet is full are refused.
        deadline: when to give up.
    """
    searches = [_Search(domain, one, network) for one in placed.placements for network in lacking(one)]
    taken = {
        (one.subnet.name, where)
        for one in placed.placements
        for where in (*one.addresses, *one.interface.request.options.virtual)
    }
    for size in address.WINDOWS:
        windows = [(one, list(itertools.islice(one.candidates, size))) for one in searches if one.found is None]
        places = {(one.subnet.name, where) for one, window in windows for where in window} - taken
        leased = northbound.lease_uuids_at(places, deadline)
        for one, window in windows:
            one.take(window, leased, taken)
    for one in searches:
        if one.found is None:
            leased = northbound.lease_uuids(deadline, subnet=one.subnet.name)
            one.take(_checked(one.candidates, one.subnet, deadline), leased, taken)
    return _filled(domain, placed, searches)


def _checked(candidates: Iterator[IPAddress], subnet: Subnet, deadline: Deadline) -> Iterator[IPAddress]:
    """Check the deadline while iterating."""
    for number, candidate in enumerate(candidates):
        if number % _BATCH == 0:
            deadline.check(f"search for a free address in subnet {subnet.name}")
        yield candidate


def _filled(domain: Domain, placed: Placed, searches: Iterable[_Search]) -> Placed:
    """Add the addresses found to the placements, or an error if there is none."""
    placements: list[Placement] = []
    refused: list[OvnhookError] = [*placed.refused]
    for placement in placed.placements:
        subnet = placement.subnet
        found = [one.found for one in searches if one.mac == placement.interface.mac]
        if None in found:
            full = Exhausted(
                f"subnet {subnet.name} is full: all {address.capacity(subnet)} addresses are leased",
                f"ovnhook lease list --subnet {subnet.name}",
            )
            refused.append(within(full, domain, placement.interface))
            continue
        every = [*placement.addresses, *found]
        ordered = (one for network in subnet.gateways for one in every if one in network)
        placements.append(replace(placement, addresses=tuple(ordered)))
    return replace(placed, placements=tuple(placements), refused=tuple(refused))
