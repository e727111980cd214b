"""Reads all rows that an attach depends on by key, in two transactions, or one for a new domain in the default subnet.

Another one follows if another domain has a MAC address of this one, or if it no longer names a virtual address.
"""

from __future__ import annotations

from collections.abc import Collection

from ovnhook.base.deadline import Deadline
from ovnhook.databases import queries
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import choice
from ovnhook.domains.values import Domain
from ovnhook.resources.port.values import Owner
from ovnhook.resources.state import Observed

Places = Collection[tuple[str, str]]
"""Subnets, each with a MAC address that may be attached to it."""


def expected_places(domain: Domain, default: str) -> Places:
    """Subnets that the interfaces of a domain name.

    Args:
        domain: the domain.
        default: name of the default subnet, as far as it is known: if it is still that one, a transaction is saved.
    """
    return {
        (name, interface.mac) for interface in domain.interfaces for name in choice.subnet_names(interface, default)
    }


def domain_rows(northbound: Northbound, domain: Domain, places: Places, deadline: Deadline) -> Observed:
    """Read the registry, the domain's row and ports, and the expected subnets with owners of MAC addresses there."""
    some = (
        queries.registry(),
        queries.lease_index(domain.uuid),
        queries.ports(domain.uuid, (interface.mac for interface in domain.interfaces)),
        queries.subnets({name for name, _ in places}),
        queries.claims(places),
    )
    return northbound.query(Observed(), some, deadline)


def referenced_rows(
    northbound: Northbound, domain: Domain, places: Places, observed: Observed, deadline: Deadline
) -> Observed:
    """Read the rows that those refer to: other subnets, owners of addresses and MAC addresses, more ports.

    Args:
        northbound: northbound database.
        domain: domain with the interfaces that can be attached (`ovnhook.domains.fitness.accepted`).
        places: as of `domain_rows`.
        observed: result of `domain_rows`.
        deadline: when to give up.
    """
    default = observed.registry.default_subnet if observed.registry else ""
    held = observed.lease_index.leases if observed.lease_index else ()
    candidates = {
        (interface, name)
        for interface in domain.interfaces
        for name in (
            *choice.subnet_names(interface, default),
            *(name for mac, name, _ in held if mac == interface.mac),
        )
    }
    absent = {name for _, name in candidates} | {name for _, name, _ in held}
    absent -= observed.subnets.keys()
    requested = {(name, address) for interface, name in candidates for address in interface.request.addresses}
    virtual = {(name, address) for interface, name in candidates for address in interface.request.options.virtual}
    observed = northbound.query(
        observed,
        (
            queries.subnets(absent),
            queries.missing_switches(absent),
            queries.ports(domain.uuid, _others(domain, observed)),
            queries.leases(requested | {(name, address) for _, name, address in held}),
            *queries.virtual_addresses(virtual | observed.named_virtual_addresses),
            queries.claims({(name, interface.mac) for interface, name in candidates} - {*places}),
            queries.security_groups({name for one in domain.interfaces for name in one.request.security_groups or ()}),
        ),
        deadline,
    )
    others = [claim for claim in observed.claims.values() if claim.domain != domain.uuid]
    observed = northbound.query(observed, [queries.conflicting_ports(others)], deadline)
    return northbound.with_virtual_addresses(observed, deadline)


def _others(domain: Domain, observed: Observed) -> set[str]:
    """MAC addresses of interfaces that this attach does not include, and that may have ports.

    libvirt's XML has all interfaces of a domain, so these were removed. API clients may attach them one by one.
    """
    held = {mac for mac, _, _ in observed.lease_index.leases} if observed.lease_index else set()
    if domain.kept_by is Owner.LIBVIRT:
        return held - {*domain.macs}
    return (held | {*domain.macs}) - {interface.mac for interface in domain.interfaces}
