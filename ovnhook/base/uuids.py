"""The UUID of every row that ovnhook makes, derived from what the row is.

A row's UUID can be chosen at insert, and it is the table's primary key. Deriving it from a name or an address makes
that name or address unique in the database without a lock: the second insert fails with ``duplicate uuid``. It also
makes every look-up one by key, whatever the number of rows (docs/explanation/decisions/0002).
"""

from __future__ import annotations

from uuid import UUID, uuid5

# uuid5(NAMESPACE_URL, "urn:ovnhook:1"), written out: it may never change, every row in every cloud depends on it.
_NAMESPACE = UUID("26b8fb0f-c0a4-5837-9c94-be09e1ac2ccc")

REGISTRY = uuid5(_NAMESPACE, "registry")
"""The one row that arbitrates between concurrent changes of subnets, and names the default subnet."""

TRUST = uuid5(_NAMESPACE, "trust")
"""The one row that says who is let in: nodes, operators and readers, control hosts, and tokens."""


def switch(subnet: str) -> UUID:
    """The Logical_Switch row of a subnet."""
    return uuid5(_NAMESPACE, f"switch/{subnet}")


def dhcp_options(subnet: str) -> UUID:
    """The DHCP_Options row of a subnet's IPv4 addresses."""
    return uuid5(_NAMESPACE, f"dhcpv4/{subnet}")


def names(subnet: str) -> UUID:
    """The DNS row that guests' questions for the names of a subnet are answered from."""
    return uuid5(_NAMESPACE, f"names/{subnet}")


def dhcpv6_options(subnet: str) -> UUID:
    """The DHCP_Options row of a subnet's IPv6 addresses."""
    return uuid5(_NAMESPACE, f"dhcpv6/{subnet}")


def lease(subnet: str, address: str) -> UUID:
    """The DNS row that keeps an address (in its canonical spelling) of a subnet for one interface."""
    return uuid5(_NAMESPACE, f"lease/{subnet}/{address}")


def floating(subnet: str, address: str) -> UUID:
    """The NAT row of the address outside that leads to a leased one: one for each lease."""
    return uuid5(_NAMESPACE, f"floating/{subnet}/{address}")


def domain(domain: UUID) -> UUID:
    """The DNS row that lists a domain's leases, so that they are found without a search."""
    return uuid5(_NAMESPACE, f"domain/{domain}")


def client_domain(name: str) -> UUID:
    """A domain that a client of the API names without a UUID."""
    return uuid5(_NAMESPACE, f"client/{name}")


def interface(domain: UUID, number: int) -> UUID:
    """An interface of a domain, by its number: what its MAC address is made of where a client gives none."""
    return uuid5(_NAMESPACE, f"interface/{domain}/{number}")


def port(domain: UUID, mac: str) -> UUID:
    """The Logical_Switch_Port row of the interface with this MAC (lower case) of a domain."""
    return uuid5(_NAMESPACE, f"port/{domain}/{mac}")


def claim(subnet: str, mac: str) -> UUID:
    """The DNS row that reserves a MAC address (lower case) of a subnet for the port that has it."""
    return uuid5(_NAMESPACE, f"mac/{subnet}/{mac}")


def router(name: str) -> UUID:
    """The Logical_Router row of a router."""
    return uuid5(_NAMESPACE, f"router/{name}")


def external_mac(cloud: UUID | None, router: str) -> str:
    """The MAC address of a router's external gateway port: locally administered, the cloud's own.

    Args:
        cloud: the cloud's id; None: as versions without one derived it, the same in every cloud.
        router: name of the router.
    """
    source = uuid5(cloud, f"external-mac/{router}") if cloud else uuid5(_NAMESPACE, f"router/{router}")
    return ":".join(f"{octet:02x}" for octet in (0x0A, *source.bytes[:5]))


def part(what: str, router: str, of: str = "") -> UUID:
    """A row that a router needs for itself, or for one subnet or one host (`of`)."""
    return uuid5(_NAMESPACE, f"{what}/{router}/{of}" if of else f"{what}/{router}")
