"""Domains that API clients describe, such as containers and appliances, as a Domain. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import MAC
from ovnhook.base.text import is_hidden
from ovnhook.domains.requests import check_unique, interface_request
from ovnhook.domains.values import Domain, Interface, InterfaceType
from ovnhook.resources.port.values import Owner

_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,255}")  # libvirt's limits: domain names become file names
_MOST = 32  # interfaces of a domain
_NOBODY = "00:00:00:00:00:00"
_GROUP = 0x01  # of a MAC address's first octet (IEEE 802)


@dataclass(frozen=True)
class ClientInterface:
    """An interface as an API client describes it. Empty fields have defaults.

    Attributes:
        mac: its MAC address; default: derived from domain and index.
        subnet: name of the subnet; default: the default subnet.
        isolated: whether it is on an isolated subnet of the domain's own.
        addresses: one for each IP version at most; default: allocated.
        hostname: a DNS label; default: derived from the domain's name.
        id: UUID of its port; default: derived from domain and MAC.
        allowed_addresses: further source addresses, networks and MAC addresses.
        port_security: whether port security is on.
        security_groups: names of its security groups; None: those of the subnet.
        limit_inbound: rate of what it receives; default: the subnet's.
        limit_outbound: rate of what it sends; default: the subnet's.
        virtual_addresses: addresses that it may take over from other ports.
    """

    mac: str = ""
    subnet: str = ""
    isolated: bool = False
    addresses: tuple[str, ...] = ()
    hostname: str = ""
    id: str = ""
    allowed_addresses: tuple[str, ...] = ()
    port_security: bool = True
    security_groups: tuple[str, ...] | None = None
    limit_inbound: str = ""
    limit_outbound: str = ""
    virtual_addresses: tuple[str, ...] = ()


def identify(uuid: str, name: str) -> Domain:
    """A domain without its interfaces.

    Args:
        uuid: its UUID; default: derived from the name.
        name: its name; optional with a UUID.

    Raises:
        InvalidRequest: UUID or name is invalid.
    """
    if not _NAME.fullmatch(name) and not (uuid and not name):
        raise InvalidRequest(f"name {name[:80]!r} is not a valid domain name", "1 to 255 characters, no slash")
    return Domain(_uuid(uuid, "domain") if uuid else uuids.client_domain(name), name, kept_by=Owner.CLIENT)


def make(uuid: str, name: str, interfaces: Iterable[ClientInterface]) -> Domain:
    """A domain with its interfaces, every value checked.

    Args:
        uuid: as above.
        name: its name.
        interfaces: all interfaces to attach.

    Raises:
        InvalidRequest: a value is invalid, or there is no interface.
    """
    if is_hidden(name):  # an existing one can still be deleted
        raise InvalidRequest(f"name {name[:80]!r} is not a valid domain name", "printable characters only")
    domain = identify(uuid if name else "", name)
    made = [_interface(asked, number, domain) for number, asked in enumerate(interfaces)]
    if not 1 <= len(made) <= _MOST:
        raise InvalidRequest(f"domain {name}: {len(made)} interfaces: expected 1 to {_MOST}")
    macs = tuple(interface.mac for interface in made)
    check_unique(name, macs)
    return Domain(domain.uuid, name, interfaces=tuple(made), macs=macs, kept_by=Owner.CLIENT)


def _interface(asked: ClientInterface, number: int, domain: Domain) -> Interface:
    mac = asked.mac.lower() or _mac(domain, number)
    where = f"domain {domain.name}: interface {asked.mac or number}"
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & _GROUP or mac == _NOBODY:
        raise InvalidRequest(f"{where}: not a MAC address like 52:54:00:aa:bb:01")
    return Interface(
        mac=mac,
        kind=InterfaceType.BRIDGE,
        request=interface_request(
            where,
            domain.uuid,
            asked.subnet,
            asked.addresses,
            asked.hostname,
            isolated=asked.isolated,
            allowed_addresses=asked.allowed_addresses,
            port_security=asked.port_security,
            groups=asked.security_groups,
            limit_inbound=asked.limit_inbound,
            limit_outbound=asked.limit_outbound,
            virtual_addresses=asked.virtual_addresses,
        ),
        interface_id=str(_uuid(asked.id, f"{where}: id")) if asked.id else "",
    )


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidRequest(f"{what} '{text}' is not a UUID") from error


def _mac(domain: Domain, number: int) -> str:
    """A stable MAC address in QEMU's range."""
    octets = uuids.interface(domain.uuid, number).bytes[:3]
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, 0x00, *octets))
