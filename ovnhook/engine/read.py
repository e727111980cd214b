"""The northbound database as far as attaching a domain depends on it: read by key, in two transactions.

There is a third one where another domain has a MAC address that this one may get.
"""

from __future__ import annotations

from ovnhook.base.deadline import Deadline
from ovnhook.databases import queries
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import choice
from ovnhook.domains.values import Domain
from ovnhook.resources.port.values import Owner
from ovnhook.resources.state import Observed


def known(northbound: Northbound, domain: Domain, deadline: Deadline) -> Observed:
    """Read what is found with the domain alone: the registry, what it holds, its ports, the subnets that it names."""
    asking = {name for interface in domain.interfaces for name in choice.subnet_names(interface, "")}
    return northbound.observe(domain.uuid, [interface.mac for interface in domain.interfaces], asking, deadline)


def needed(northbound: Northbound, domain: Domain, observed: Observed, deadline: Deadline) -> Observed:
    """Read what is found by that, too: subnets, who has which address and MAC address there, more ports.

    Args:
        northbound: where it is.
        domain: as it can be attached (`ovnhook.domains.fitness.accepted`).
        observed: what is `known` of it.
        deadline: when to give up.
    """
    default = observed.registry.default_subnet if observed.registry else ""
    held = observed.lease_index.leases if observed.lease_index else ()
    may_go = {
        (interface, name)
        for interface in domain.interfaces
        for name in (
            *choice.subnet_names(interface, default),
            *(name for mac, name, _ in held if mac == interface.mac),
        )
    }
    absent = {name for _, name in may_go} | {name for _, name, _ in held}
    absent -= observed.subnets.keys()
    places = {(name, address) for interface, name in may_go for address in interface.request.addresses}
    observed = northbound.query(
        observed,
        (
            queries.subnets(absent),
            queries.missing_switches(absent),
            queries.ports(domain.uuid, _others(domain, observed)),
            queries.leases(places | {(name, address) for _, name, address in held}),
            queries.claims({(name, interface.mac) for interface, name in may_go}),
        ),
        deadline,
    )
    others = [claim for claim in observed.claims.values() if claim.domain != domain.uuid]
    return northbound.query(observed, [queries.conflicting_ports(others)], deadline)


def _others(domain: Domain, observed: Observed) -> set[str]:
    """The MAC addresses of interfaces that are not to be attached now, and may have ports.

    libvirt names all that a domain has, so these are gone; a client of the API may attach one after the other.
    """
    held = {mac for mac, _, _ in observed.lease_index.leases} if observed.lease_index else set()
    if domain.kept_by is Owner.LIBVIRT:
        return held - {*domain.macs}
    return (held | {*domain.macs}) - {interface.mac for interface in domain.interfaces}
