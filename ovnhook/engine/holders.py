"""Owners of host names and interface IDs: other domains that already have a requested one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, OvnhookError, Unavailable
from ovnhook.base.text import quoted
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.place import Placed, within
from ovnhook.domains.values import Domain, Interface
from ovnhook.resources import ip
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import dns

_log = logging.getLogger(__name__)

Records = Mapping[tuple[str, str], str]
"""Names and addresses of DNS records, by subnet and name."""


def of_records(
    northbound: Northbound, records: Records, own: Collection[UUID], deadline: Deadline
) -> dict[tuple[str, str], Lease]:
    """Look up the leases of other domains that DNS records resolve to, by subnet and host name.

    Args:
        northbound: northbound database.
        records: DNS records.
        own: domains that are not counted as others.
        deadline: when to give up.
    """
    places = {
        (subnet, IPAddress(place))
        for (subnet, record), value in records.items()
        for place in dns.addresses_of(record, value)
        if ip.is_ip(place)
    }
    leases = northbound.leases_at(places, deadline, skip_broken=True).values()
    return {(lease.subnet, lease.hostname): lease for lease in leases if lease.domain not in own}


def name_taken(owner: Lease) -> AlreadyExists:
    """Error for a host name that another domain's lease has."""
    return AlreadyExists(
        f"host name '{owner.hostname}' of subnet {owner.subnet} is that of domain {owner.domain_name} on {owner.host}"
        f" ({owner.address}, {owner.mac})",
        "choose another host name; one is free when the domain that has it is undefined or deleted",
    )


def refuse_taken(
    northbound: Northbound, domain: Domain, placed: Placed, observed: Observed, deadline: Deadline
) -> Placed:
    """Refuse the interfaces of a running domain whose host name or interface ID another domain has.

    One of them would fail the transaction, and with it all other interfaces.

    Args:
        northbound: northbound database.
        domain: domain of the interfaces.
        placed: placement of its interfaces.
        observed: its rows.
        deadline: when to give up.
    """
    placements, refused = [], [*placed.refused]
    for one in placed.placements:
        mac, subnet, name = one.interface.mac, one.subnet.name, one.interface.request.hostname
        leases = [lease for lease in observed.leases.values() if lease.belongs_to(domain.uuid, mac)]
        error: OvnhookError | None = None
        if name and name not in (lease.hostname for lease in leases if lease.subnet == subnet):
            owner = _of_name(northbound, subnet, name, deadline)
            error = name_taken(owner) if owner and owner.domain != domain.uuid else None
        if not error and mac not in observed.ports:
            error = _id_taken(northbound, domain, one.interface, deadline)
        if error:
            refused.append(within(error, domain, one.interface))
        else:
            placements.append(one)
    return replace(placed, placements=tuple(placements), refused=tuple(refused))


def _of_name(northbound: Northbound, subnet: str, name: str, deadline: Deadline) -> Lease | None:
    """Look up a lease that has a host name by its DNS record; a record that is wrong has its owner searched for."""
    record = northbound.dns_records(subnet, deadline).get(name)
    if record is None:
        return None
    found = of_records(northbound, {(subnet, name): record}, (), deadline).get((subnet, name))
    return found or next(iter(northbound.leases(deadline, subnet=subnet, hostname=name)), None)


def of_interface_id(northbound: Northbound, domain: Domain, error: OvnhookError, deadline: Deadline) -> OvnhookError:
    """Error for an interface ID that is taken, with its owner if the database can still be read."""
    try:
        for interface in domain.interfaces:
            if taken := _id_taken(northbound, domain, interface, deadline):
                return within(taken, domain, interface)
    except Unavailable as reason:
        _log.warning("domain %s: cannot read the owner of its interfaceid: %s", domain.name, reason)
    return error.within(f"domain {domain.name}")


def _id_taken(northbound: Northbound, domain: Domain, interface: Interface, deadline: Deadline) -> OvnhookError | None:
    """Error if another interface has the requested ID."""
    name = interface.interface_id
    taken, owner = northbound.port_named(name, deadline) if name else (False, None)
    if not taken or (owner and owner.domain == domain.uuid and owner.mac == interface.mac):
        return None
    owned_by = f"domain {owner.domain_name} on {owner.host}" if owner else "a port that is not ovnhook's"
    return AlreadyExists(
        f"interfaceid {name} belongs to {owned_by}",
        f"virsh edit {quoted(domain.name)}: remove the interfaceid from <virtualport>, libvirt generates a new one",
    )
