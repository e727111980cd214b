"""Row UUIDs, derived from names and addresses.

A row's UUID is the table's primary key and can be chosen at insert. Deriving it from a name or an address makes that
unique without a lock, because a second insert fails with ``duplicate uuid``, and every look-up one by key
(docs/explanation/decisions/0002).
"""

from __future__ import annotations

from functools import lru_cache, partial
from uuid import UUID, uuid5

# uuid5(NAMESPACE_URL, "urn:ovnhook:1"), written out: it may never change, every row in every cloud depends on it.
_NAMESPACE = UUID("26b8fb0f-c0a4-5837-9c94-be09e1ac2ccc")

REGISTRY = uuid5(_NAMESPACE, "registry")
"""Registry row: serializes concurrent changes of subnets, and names the default subnet."""

TRUST = uuid5(_NAMESPACE, "trust")
"""Trust row: trusted clients, control hosts and join tokens."""

_row = lru_cache(4096)(partial(uuid5, _NAMESPACE))  # a start needs some of them several times


def switch(subnet: str) -> UUID:
    """Logical_Switch row of a subnet."""
    return _row(f"switch/{subnet}")


def dhcp_options(subnet: str) -> UUID:
    """DHCP_Options row of a subnet's IPv4 addresses."""
    return _row(f"dhcpv4/{subnet}")


def dns_records(subnet: str) -> UUID:
    """DNS row with the records of a subnet."""
    return _row(f"names/{subnet}")


def dhcpv6_options(subnet: str) -> UUID:
    """DHCP_Options row of a subnet's IPv6 addresses."""
    return _row(f"dhcpv6/{subnet}")


def lease(subnet: str, address: str) -> UUID:
    """DNS row of a lease: an address, in its canonical form, reserved in a subnet."""
    return _row(f"lease/{subnet}/{address}")


def domain(domain: UUID) -> UUID:
    """DNS row that indexes a domain's leases, so that they are found without a search."""
    return _row(f"domain/{domain}")


def client_domain(name: str) -> UUID:
    """UUID of a domain that an API client names without one."""
    return _row(f"client/{name}")


def interface(domain: UUID, number: int) -> UUID:
    """UUID of a domain's interface, by its number: source of its MAC address if the API client gives none."""
    return _row(f"interface/{domain}/{number}")


def port(domain: UUID, mac: str) -> UUID:
    """Logical_Switch_Port row of a domain's interface, by its MAC address in lower case."""
    return _row(f"port/{domain}/{mac}")


def claim(subnet: str, mac: str) -> UUID:
    """DNS row of a MAC reservation: a MAC address, in lower case, of one port of a subnet."""
    return _row(f"mac/{subnet}/{mac}")


def network(subnet: str) -> UUID:
    """Network of a subnet in libvirt, the same on all hosts."""
    return _row(f"network/{subnet}")


def router(name: str) -> UUID:
    """Logical_Router row of a router."""
    return _row(f"router/{name}")


def external_mac(cloud: UUID | None, router: str) -> str:
    """MAC address of a router's external gateway port: locally administered, unique to the cloud.

    Args:
        cloud: the cloud's ID; None: the address that versions without cloud IDs derived, the same in every cloud.
        router: name of the router.
    """
    source = uuid5(cloud, f"external-mac/{router}") if cloud else _row(f"router/{router}")
    return ":".join(f"{octet:02x}" for octet in (0x0A, *source.bytes[:5]))


def part(what: str, *keys: str) -> UUID:
    """Row that is part of other objects, such as a router's port on a subnet, by their names or addresses."""
    return _row("/".join((what, *keys)))
