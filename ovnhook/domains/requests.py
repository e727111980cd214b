"""Checks of what API clients and hosts request for an interface. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import HOST_NAME, HOST_NAMES, SUBNET_NAME, SUBNET_NAMES
from ovnhook.domains.values import InterfaceRequest
from ovnhook.resources import ip, limits
from ovnhook.resources.port import options
from ovnhook.resources.security_group.values import group_names
from ovnhook.resources.subnet.values import isolated_subnet


def interface_request(
    where: str,
    domain: UUID,
    subnet: str,
    addresses: Sequence[str],
    hostname: str,
    *,
    isolated: bool,
    allowed_addresses: Iterable[str] = (),
    port_security: bool = True,
    limit_inbound: str = "",
    limit_outbound: str = "",
    virtual_addresses: Iterable[str] = (),
    keep: bool = False,
    groups: Sequence[str] | None = None,
) -> InterfaceRequest:
    """Requested subnet, addresses, host name, port options and security groups of an interface.

    Args:
        where: domain and interface, for errors.
        domain: UUID of the domain.
        subnet: name of the subnet, or "".
        addresses: one for each IP version at most.
        hostname: a DNS label, or "".
        isolated: it is on an isolated subnet of the domain's own.
        allowed_addresses: further source addresses, networks and MAC addresses.
        port_security: whether port security is on.
        limit_inbound: rate limit of what it receives, or "".
        limit_outbound: rate limit of what it sends, or "".
        virtual_addresses: addresses that it may take over from other ports.
        keep: its leases outlive the domain's definition.
        groups: names of security groups, or None for those of the subnet.

    Raises:
        InvalidRequest: a value is invalid.
    """
    if subnet and not SUBNET_NAME.fullmatch(subnet):
        raise InvalidRequest(f"{where}: '{subnet[:80]}' is not a valid subnet name", SUBNET_NAMES)
    if subnet and isolated:
        raise InvalidRequest(f"{where}: subnet '{subnet}' and isolated are mutually exclusive")
    if hostname and not HOST_NAME.fullmatch(hostname.lower()):
        raise InvalidRequest(f"{where}: host name '{hostname[:80]}' is not a DNS label", HOST_NAMES)
    for text in addresses:
        if not ip.is_ip(text):
            raise InvalidRequest(f"{where}: '{text[:80]}' is not an IP address")
    found = tuple(map(IPAddress, addresses))
    if len({one.version for one in found}) < len(found):
        raise InvalidRequest(f"{where}: {' '.join(addresses)[:200]}: one IPv4 and one IPv6 address at most")
    rates = limits.requested(where, limit_inbound, limit_outbound, accept_none=True)
    port_options = options.requested(
        f"{where}: allowed addresses", allowed_addresses, security=port_security, limits=rates
    )
    virtual = options.virtual_addresses(f"{where}: virtual addresses", virtual_addresses)
    name = isolated_subnet(domain) if isolated else subnet
    try:
        named = None if groups is None else group_names(groups)
    except InvalidRequest as error:
        raise error.within(where) from error
    return InterfaceRequest(
        name, isolated, found, hostname.lower(), replace(port_options, virtual=virtual), keep, named
    )


def check_unique(domain: str, macs: Iterable[str]) -> None:
    """Check that no two interfaces of a domain have the same MAC address.

    Raises:
        InvalidRequest: two of them have.
    """
    for mac, number in Counter(macs).items():
        if number > 1:
            raise InvalidRequest(f"domain {domain}: interface {mac}: two interfaces have this MAC address")
