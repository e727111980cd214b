"""Bulk creation of ports in a northbound database, with the same rows as the starts of their domains."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from netaddr import IPAddress

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import plan
from ovnhook.domains.choice import Placement
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import complete
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet import rules as subnet_rules
from ovnhook.resources.subnet.request import SubnetRequest, Underlay
from ovnhook.resources.subnet.values import Subnet

PORTS = 10_000
HUNDRED = [f"10.10.{number}.0/24" for number in range(100)]
"""Networks of subnets with enough addresses for them."""

_BATCH = 250  # domains of one transaction
_NAMESPACE = UUID("c3b1f0a4-6d0c-4f0e-8a44-5d1d8f0b7e11")


def soon() -> Deadline:
    """A deadline that only a hang exceeds."""
    return Deadline.after(60)


def make_subnets(northbound: Northbound, cidrs: Sequence[str], *, router: str = "gateway") -> list[Subnet]:
    """Make subnets, as the control service does; the first one is the default."""
    for number, cidr in enumerate(cidrs):
        wanted = SubnetRequest(f"net{number}", cidr, default=not number, router=router)
        cloud = northbound.cloud(soon())
        northbound.commit(complete(subnet_rules.create(wanted, Underlay(), cloud), cloud), soon())
    return sorted(northbound.cloud(soon()).of(Subnet), key=lambda one: int(one.name.removeprefix("net")))


def domains(count: int, *groups: str) -> list[Domain]:
    """Create domains with one interface each, in some security groups, the same ones at every call."""
    return [_domain(number, groups) for number in range(count)]


def _domain(number: int, groups: tuple[str, ...]) -> Domain:
    uuid = uuid5(_NAMESPACE, str(number))
    mac = "52:54:" + ":".join(f"{octet:02x}" for octet in number.to_bytes(4, "big"))
    name = f"other{number}"
    request = InterfaceRequest(hostname=name, security_groups=groups or None)
    return Domain(
        uuid,
        name,
        1,
        (Interface(mac, InterfaceType.BRIDGE, request, str(uuid5(uuid, mac))),),
        (mac,),
    )


def attach(
    northbound: Northbound, subnets: Sequence[Subnet], some: Sequence[Domain], host: str, hosts: int = 100
) -> None:
    """Create a port for each domain, on the subnets in turn.

    Args:
        northbound: where.
        subnets: of sizes that have room for them.
        some: the domains.
        host: where they run; with a ``{}`` in it, on several hosts in turn.
        hosts: how many.
    """
    taken: dict[str, set[IPAddress]] = {}
    for lease in northbound.leases(soon()):
        taken.setdefault(lease.subnet, set()).add(lease.address)
    made: list[Change] = []
    for number, one in enumerate(some):
        on = subnets[number % len(subnets)]
        where = _free(on, one, taken.setdefault(on.name, set()))
        placement = Placement(one.interfaces[0], on, (where,), one.interfaces[0].request.hostname)
        made += plan.attach(one, host.format(number % hosts), [placement], Observed(subnets={on.name: on}))
        if (number + 1) % _BATCH == 0 or number + 1 == len(some):
            northbound.database.transact([operation for change in made for operation in change.operations], soon())
            made = []


def _free(on: Subnet, one: Domain, taken: set[IPAddress]) -> IPAddress:
    """The address that a domain's start would allocate."""
    where = next(where for where in address.candidates(on, on.cidr, f"{one.uuid}/{one.macs[0]}") if where not in taken)
    taken.add(where)
    return where
