"""DHCPv4 options of OVN: which there are, their syntax for users and in DHCP_Options rows, and their size. Pure.

ovn-controller drops the DHCP flow of a port if one option has an unknown name or an invalid value (ovn-nb(5),
DHCP_Options), so everything is validated here. The table has what the oldest supported OVN knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import ip
from ovnhook.resources.subnet.dhcp import Route


class OptionType(Enum):
    """Type of an option: the name in the southbound database (ovn-sb(5), DHCP_Options)."""

    ADDRESS = "ipv4"
    BOOLEAN = "bool"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    TEXT = "str"
    HOST = "host_id"
    DOMAINS = "domains"
    ROUTES = "static_routes"


EXTRA = {
    "T1": OptionType.UINT32,
    "T2": OptionType.UINT32,
    "arp_cache_timeout": OptionType.UINT32,
    "broadcast_address": OptionType.ADDRESS,
    "default_ttl": OptionType.UINT8,
    "ethernet_encap": OptionType.BOOLEAN,
    "ip_forward_enable": OptionType.BOOLEAN,
    "log_server": OptionType.ADDRESS,
    "lpr_server": OptionType.ADDRESS,
    "netbios_name_server": OptionType.ADDRESS,
    "netbios_node_type": OptionType.UINT8,
    "nis_server": OptionType.ADDRESS,
    "ntp_server": OptionType.ADDRESS,
    "path_prefix": OptionType.TEXT,
    "router_discovery": OptionType.BOOLEAN,
    "router_solicitation": OptionType.ADDRESS,
    "swap_server": OptionType.ADDRESS,
    "tcp_keepalive_interval": OptionType.UINT32,
    "tcp_ttl": OptionType.UINT8,
    "tftp_server": OptionType.HOST,
    "tftp_server_address": OptionType.ADDRESS,
    "wpad": OptionType.TEXT,
}
"""Options that users set by name (RFC 2132), with their type."""

SETTINGS = {
    "bootfile_name": (OptionType.TEXT, "--boot-file"),
    "bootfile_name_alt": (OptionType.TEXT, "--boot-file and --ipxe"),
    "classless_static_route": (OptionType.ROUTES, "--route"),
    "dns_server": (OptionType.ADDRESS, "--dns"),
    "domain_name": (OptionType.TEXT, "--domain"),
    "domain_search_list": (OptionType.DOMAINS, "--search"),
    "lease_time": (OptionType.UINT32, "--lease-time"),
    "mtu": (OptionType.UINT16, "--mtu"),
    "next_server": (OptionType.ADDRESS, "--boot-server"),
    "router": (OptionType.ADDRESS, "--gateway, or --route 0.0.0.0/0=ADDR"),
    "server_id": (OptionType.ADDRESS, "--gateway"),
}
"""Options that settings of a subnet determine: their type, and the option of the command."""

MAX_LENGTH = 255
"""Bytes of an option's value."""

MAX_TOTAL = 304
"""Bytes of all options. Every client accepts 312 (RFC 2131, section 2), which include the cookie and the end."""

_SINGLE = ("broadcast_address", "router_solicitation", "swap_server")
_TYPES = EXTRA | {name: kind for name, (kind, _) in SETTINGS.items()}
_SIZES = {OptionType.BOOLEAN: 1, OptionType.UINT8: 1, OptionType.UINT16: 2, OptionType.UINT32: 4}
_TEXT = re.compile(r"[!#-\[\]-~]+")  # printable ASCII without space, quotation mark and backslash
_MAX_LISTED = 16  # addresses of an option
_UNSENT = ("server_mac", "next_server")  # they are in the headers
_NETMASK = 6  # bytes; the message type and the server's identifier are of this size or smaller
_MESSAGE_TYPE = 3  # bytes


def parse(assignments: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse options of the form ``NAME=VALUE``.

    Raises:
        InvalidRequest: an option is unknown, repeated or a setting of its own, or its value is invalid.
    """
    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InvalidRequest(
                f"DHCP option '{assignment}' is not of the form NAME=VALUE, like ntp_server=192.0.2.123"
            )
        if name in SETTINGS:
            raise InvalidRequest(f"DHCP option {name} is a setting of the subnet", f"use {SETTINGS[name][1]}")
        if name not in EXTRA:
            raise InvalidRequest(f"there is no DHCP option '{name}'", f"these can be set: {', '.join(EXTRA)}")
        if name in found:
            raise InvalidRequest(f"DHCP option {name} is there twice", f"separate addresses by commas: {name}=A,B")
        _check(name, EXTRA[name], value)
        found[name] = value
    return tuple(sorted(found.items()))


def text(what: str, value: str) -> str:
    """Validate a string of a DHCP option: printable ASCII without spaces, quotation marks and backslashes."""
    if not _TEXT.fullmatch(value) or len(value) > MAX_LENGTH:
        raise InvalidRequest(
            f"invalid {what} '{value}'",
            f"1 to {MAX_LENGTH} printable ASCII characters without spaces, quotation marks and backslashes",
        )
    return value


def _check(name: str, kind: OptionType, value: str) -> None:
    what = f"value of DHCP option {name}:"
    if kind is OptionType.ADDRESS:
        listed = value.split(",")
        if not all(map(ip.is_ipv4, listed)) or len(listed) > (1 if name in _SINGLE else _MAX_LISTED):
            wanted = (
                "one IPv4 address" if name in _SINGLE else f"1 to {_MAX_LISTED} IPv4 addresses, with commas between"
            )
            raise InvalidRequest(f"{what} '{value}'", f"expected {wanted}")
    elif kind in _SIZES:
        largest = 1 if kind is OptionType.BOOLEAN else (1 << 8 * _SIZES[kind]) - 1
        if not re.fullmatch("0|[1-9][0-9]{0,9}", value, re.ASCII) or int(value) > largest:
            raise InvalidRequest(f"{what} '{value}'", f"expected a number from 0 to {largest}")
    else:
        text(what, value)


def rendered(options: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Options in the syntax of a DHCP_Options row, without those of a newer version of ovnhook."""
    return {name: _rendered(EXTRA[name], value) for name, value in options if name in EXTRA}


def _rendered(kind: OptionType, value: str) -> str:
    if kind is OptionType.ADDRESS:
        return listed(value.split(","))
    return f'"{value}"' if kind in (OptionType.TEXT, OptionType.HOST) else value


def listed(values: Iterable[object]) -> str:
    """The syntax of a DHCP_Options row for several addresses."""
    return f"{{{', '.join(map(str, values))}}}"


def static_routes(routes: Iterable[Route]) -> str:
    """The syntax of a DHCP_Options row for static routes."""
    return listed(f"{route.destination},{route.router}" for route in routes)


def length(options: Mapping[str, str]) -> int:
    """Bytes of the options of a DHCP_Options row in a message, with those that OVN adds."""
    sent = (2 + _length(name, value) for name, value in options.items() if name not in _UNSENT)
    return _MESSAGE_TYPE + _NETMASK + sum(sent)


def _length(name: str, value: str) -> int:
    """Bytes of the value of an option of a DHCP_Options row."""
    kind = _TYPES[name]
    if kind in _SIZES:
        return _SIZES[kind]
    if kind is OptionType.ADDRESS:
        return 4 * (value.count(",") + 1)
    if kind is OptionType.ROUTES:
        return sum(5 + (int(prefix) + 7) // 8 for prefix in re.findall("/([0-9]+),", value))
    quoted = len(value) - 2
    return quoted + value.count(",") + 2 if kind is OptionType.DOMAINS else quoted


def confused(domains: Iterable[str]) -> tuple[str, str] | None:
    """Two different suffixes of search domains that OVN encodes as one (RFC 1035, section 4.1.4), or None.

    OVN compares them without their last character: of ``lab.de`` and ``lab.dk`` it sends ``lab.de`` twice.
    """
    seen: dict[str, str] = {}
    for domain in domains:
        labels = domain.split(".")
        for first in range(len(labels)):
            suffix = ".".join(labels[first:])
            if seen.setdefault(suffix[:-1], suffix) != suffix:
                return seen[suffix[:-1]], suffix
    return None
