"""Many ports in a northbound database, quickly, with just the rows that the starts of their domains would have made."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from netaddr import IPAddress

from ovnhook import address, plan, subnet
from ovnhook.changes import Change
from ovnhook.deadline import Deadline
from ovnhook.model import Domain, Interface, Kind, Subnet, Wish
from ovnhook.observed import Observed
from ovnhook.ovsdb.northbound import Northbound, operations
from ovnhook.plan import Placement

PORTS = 10_000
_BATCH = 250  # domains of one transaction
_NAMESPACE = UUID("c3b1f0a4-6d0c-4f0e-8a44-5d1d8f0b7e11")


def soon() -> Deadline:
    """A deadline that only a hang exceeds."""
    return Deadline.after(60)


def make_subnets(northbound: Northbound, cidrs: Sequence[str], *, router: str = "gateway") -> list[Subnet]:
    """Make subnets, as the control service does; the first one is the default."""
    for number, cidr in enumerate(cidrs):
        wanted = subnet.Wanted(f"net{number}", cidr, default=not number, router=router)
        northbound.commit(subnet.create(wanted, subnet.Underlay(), northbound.cloud(soon())), soon())
    return sorted(northbound.cloud(soon()).subnets, key=lambda one: int(one.name.removeprefix("net")))


def domain(number: int, subnet_name: str = "") -> Domain:
    """A domain with one interface."""
    uuid = uuid5(_NAMESPACE, str(number))
    mac = "52:54:" + ":".join(f"{octet:02x}" for octet in number.to_bytes(4, "big"))
    name = f"vm{number}"
    wish = Wish(subnet_name, hostname=name)
    return Domain(uuid, name, 1, (Interface(mac, Kind.BRIDGE, wish, str(uuid5(uuid, mac))),), (mac,))


def attach(northbound: Northbound, subnets: Sequence[Subnet], count: int, host: str, first: int = 1) -> list[Domain]:
    """Give as many domains a port each, on the subnets in turn.

    Args:
        northbound: where.
        subnets: of sizes that have room for them.
        count: how many.
        host: where they run; with a ``{}`` in it, on a hundred hosts in turn.
        first: the number of the first one.
    """
    taken: dict[str, set[IPAddress]] = {one.name: set() for one in subnets}
    domains = []
    made: list[Change] = []
    for number in range(first, first + count):
        on = subnets[number % len(subnets)]
        one = domain(number, on.name)
        where = _free(on, one, taken[on.name])
        placement = Placement(one.interfaces[0], on, (where,))
        made += plan.attach(one, host.format(number % 100), [placement], Observed(subnets={on.name: on}))
        domains.append(one)
        if len(domains) % _BATCH == 0 or len(domains) == count:
            northbound.database.transact([operation for change in made for operation in operations(change)], soon())
            made = []
    return domains


def _free(on: Subnet, one: Domain, taken: set[IPAddress]) -> IPAddress:
    """The address that a domain's start would find."""
    where = next(where for where in address.candidates(on, on.cidr, f"{one.uuid}/{one.macs[0]}") if where not in taken)
    taken.add(where)
    return where
