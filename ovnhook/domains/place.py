"""Placement of a domain's interfaces: subnet, known addresses, host name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, OvnhookError
from ovnhook.domains import choice, fitness, presence, virtualaddresses
from ovnhook.domains.choice import Placement
from ovnhook.domains.values import Domain, Interface
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class Placed:
    """Placements and refusals of a domain's interfaces.

    Attributes:
        placements: of accepted interfaces; addresses to allocate are `lacking`.
        refused: errors of the others.
        warnings: settings of migrated interfaces that would be refused at a start.
    """

    placements: tuple[Placement, ...] = ()
    refused: tuple[OvnhookError, ...] = ()
    warnings: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise the first refusal."""
        for error in self.refused:
            raise error


def place(
    domain: Domain,
    asked: Domain,
    host: str,
    observed: Observed,
    taken: Mapping[str, Container[str]],
    *,
    running: bool,
) -> Placed:
    """Place the interfaces of a domain.

    Args:
        domain: the accepted domain (`fitness.accepted`).
        asked: the domain as in its XML.
        host: the chassis that it runs on.
        observed: rows of the domain, its candidate subnets, and the leases and ports that may conflict.
        taken: host names of other domains, by subnet.
        running: whether it runs there already.
    """
    comes = presence.arrives(observed, host)
    default = observed.registry.default_subnet if observed.registry else ""
    named = {interface.mac: interface.request.subnet for interface in asked.interfaces}
    placements: list[Placement] = []
    refused: list[OvnhookError] = []
    warnings: list[str] = []
    for interface in domain.interfaces:
        try:
            usual = choice.kept_subnet(domain, interface, observed) or default
            subnet = choice.choose_subnet(interface, usual, observed.subnets, observed.missing_switches)
            fitness.check_own(domain, subnet)
            interface.request.options.check(subnet)
            choice.check_groups(interface, observed)
            given = {where for placement in placements if placement.subnet == subnet for where in placement.addresses}
            virtualaddresses.check(interface.request, subnet, given, observed)
            beside = (
                one
                for placed in placements
                if placed.subnet == subnet
                for one in placed.interface.request.options.virtual
            )
            addresses = _known(domain, interface, subnet, observed, {*given, *beside})
            if not ((running or comes) and interface.mac in observed.ports):
                fitness.check_mac(domain, interface, subnet, observed)
            unsupported = fitness.check_supported(domain, interface, subnet, observed, runs=running or comes)
        except OvnhookError as error:
            refused.append(within(error, domain, interface))
            continue
        warnings += unsupported if comes else []
        by_default = subnet.name == usual and named[interface.mac] != usual != interface.portgroup
        name = choice.host_name(
            domain, interface.request.hostname, subnet, observed.leases.values(), taken.get(subnet.name, ())
        )
        placements.append(Placement(interface, subnet, addresses, name, by_default))
    return Placed(tuple(placements), tuple(refused), tuple(warnings))


def within(error: OvnhookError, domain: Domain, interface: Interface) -> OvnhookError:
    """The error, prefixed by domain and interface."""
    return error.within(f"domain {domain.name}: interface {interface.mac}")


def lacking(placement: Placement) -> tuple[IPNetwork, ...]:
    """Networks of the subnet in which the interface has no address yet."""
    return tuple(
        network
        for network in placement.subnet.gateways
        if not any(address in network for address in placement.addresses)
    )


def _known(
    domain: Domain, interface: Interface, subnet: Subnet, observed: Observed, given: Collection[IPAddress]
) -> tuple[IPAddress, ...]:
    """For each of the subnet's networks, the requested address, else the leased one, else none.

    Raises:
        AlreadyExists: the requested address is leased to another interface, or `given` to one of this domain.
        InvalidRequest: it is not a valid address of the subnet.
    """
    for wanted in interface.request.addresses:
        address.check(subnet, wanted)
        there = observed.leases.get((subnet.name, wanted))
        if there and not choice.may_have(there, domain, interface):
            raise AlreadyExists(
                f"address {wanted} of subnet {subnet.name} is leased to domain {there.domain_name} ({there.mac})"
            )
        if wanted in given:
            raise AlreadyExists(f"address {wanted} is given to another interface of this domain")
    known = [*interface.request.addresses]
    for mac, name, held in observed.lease_index.leases if observed.lease_index else ():
        there = observed.leases.get((name, held))
        ours = there is None or there.belongs_to(domain.uuid, mac)
        free = held not in given and held not in subnet.reserved
        if (mac, name) == (interface.mac, subnet.name) and ours and free:
            known.append(held)
    fitting = (next((one for one in known if one in network), None) for network in subnet.gateways)
    return tuple(one for one in fitting if one is not None)
