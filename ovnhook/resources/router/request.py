"""Requested routers, and their validation. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from netaddr import IPAddress

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.resources import ip, limits
from ovnhook.resources.router import hostlink
from ovnhook.resources.router.values import HOST, External, InterfaceAddress, Router

_PHYSICAL_NETWORK = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LAST_VLAN = 4094  # IEEE 802.1Q
_SMALLEST = {4: 30, 6: 127}  # prefix lengths of networks with a router and a next hop (RFC 6164)
_IS = {4: ip.is_ipv4, 6: ip.is_ipv6}
_LIKE = {4: "203.0.113.10/24", 6: "2001:db8::10/64"}


@dataclass(frozen=True)
class ExternalGatewayRequest:
    """A router's external gateway as requested; all attributes are empty for none.

    Attributes:
        physical_network: a name in the gateway hosts' ``ovn-bridge-mappings``.
        address: ``203.0.113.10/24``, or "" without IPv4.
        next_hop: an address in that network.
        vlan: 1 to 4094, or 0.
        no_snat: guests keep their own IPv4 addresses externally.
        address6: ``2001:db8::10/64``, or "" without IPv6.
        next_hop6: an address in that network.
        snat6: guests use the router's IPv6 address externally.
        limit_inbound: rate of what comes from outside, or "".
        limit_outbound: rate of what goes outside, or "".
    """

    physical_network: str = ""
    address: str = ""
    next_hop: str = ""
    vlan: int = 0
    no_snat: bool = False
    address6: str = ""
    next_hop6: str = ""
    snat6: bool = False
    limit_inbound: str = ""
    limit_outbound: str = ""


SETTINGS = tuple(field.name for field in fields(ExternalGatewayRequest))


def request_of(router: Router) -> ExternalGatewayRequest:
    """The request that results in a router's external gateway."""
    external = router.external
    if external is None:
        return ExternalGatewayRequest()
    return ExternalGatewayRequest(
        physical_network=external.physical_network,
        address=str(external.address or ""),
        next_hop=str(external.next_hop or ""),
        vlan=external.vlan,
        no_snat=not external.snat,
        address6=str(external.address6 or ""),
        next_hop6=str(external.next_hop6 or ""),
        snat6=external.snat6,
        limit_inbound=external.limits.inbound,
        limit_outbound=external.limits.outbound,
    )


def parse(name: str, request: ExternalGatewayRequest) -> Router:
    """Validate a request.

    Args:
        name: of the router.
        request: its external gateway.

    Raises:
        InvalidRequest: a value is invalid.
    """
    if not SUBNET_NAME.fullmatch(name):
        raise InvalidRequest(
            f"invalid router name '{name}'",
            "letters, digits and, in between, dots, hyphens and underscores, 63 at most",
        )
    return Router(name, _external(name, request))


def _external(name: str, request: ExternalGatewayRequest) -> External | None:
    if not request.physical_network:
        if request != ExternalGatewayRequest():
            raise InvalidRequest(
                f"router {name}: an external gateway needs a physical network",
                "--physical-network NAME, a name in the ovn-bridge-mappings of the gateway hosts",
            )
        return None
    if not _PHYSICAL_NETWORK.fullmatch(request.physical_network):
        raise InvalidRequest(f"invalid physical network '{request.physical_network}'")
    rates = limits.requested(f"router {name}", request.limit_inbound, request.limit_outbound)
    address4, hop4 = _external_address(request.address, request.next_hop, 4)
    address6, hop6 = _external_address(request.address6, request.next_hop6, 6)
    if request.physical_network == HOST:
        _check_on_host(name, request, dict(filter(all, ((address4, hop4), (address6, hop6)))))
        return External(HOST, address4, hop4, snat=False, address6=address6, next_hop6=hop6, limits=rates)
    if not (address4 or address6):
        raise InvalidRequest(
            f"router {name}: an external gateway needs an address", "--address CIDR --next-hop ADDRESS"
        )
    if not 0 <= request.vlan <= _LAST_VLAN:
        raise InvalidRequest(f"invalid VLAN {request.vlan}", f"expected 1 to {_LAST_VLAN}, or 0 for none")
    return External(
        physical_network=request.physical_network,
        address=address4,
        next_hop=hop4,
        vlan=request.vlan,
        snat=not request.no_snat,
        address6=address6,
        next_hop6=hop6,
        snat6=request.snat6,
        limits=rates,
    )


def _check_on_host(
    name: str, request: ExternalGatewayRequest, addresses: Mapping[InterfaceAddress | None, IPAddress | None]
) -> None:
    """Refuse settings that the link to the hosts does not have."""
    for own, hop in addresses.items():
        if own and (own.cidr, hop) != (hostlink.LINKS[own.version], hostlink.host_address(own.version).ip):
            raise InvalidRequest(
                f"router {name}: address {own} and next hop {hop} are not those of physical network {HOST}",
                "omit them: they are chosen",
            )
    if request.vlan or request.snat6:
        raise InvalidRequest(
            f"router {name}: physical network {HOST} has no {'VLAN' if request.vlan else 'SNAT in OVN'}",
            "the host masquerades" if request.snat6 else "omit --vlan",
        )


def _external_address(text: str, hop: str, version: int) -> tuple[InterfaceAddress | None, IPAddress | None]:
    """Parse the router's address and the next hop of an IP version."""
    if not (text or hop):
        return None, None
    own = _address(text, version)
    if not _IS[version](hop):
        raise InvalidRequest(f"next hop '{hop}' is not an IPv{version} address")
    allowed = ip.usable(own.cidr)
    if not allowed.first <= IPAddress(hop) <= allowed.last:
        raise InvalidRequest(f"next hop {hop} is not a host address of {own.cidr}", f"those are {allowed}")
    if IPAddress(hop) == own.ip:
        raise InvalidRequest(f"next hop {hop} is the router's own address")
    return own, IPAddress(hop)


def _address(text: str, version: int) -> InterfaceAddress:
    host, _, length = text.partition("/")
    if not (_IS[version](host) and re.fullmatch("[0-9]{1,3}", length)):
        raise InvalidRequest(f"address '{text}' is not of the form ADDRESS/LENGTH, like {_LIKE[version]}")
    if not 1 <= int(length) <= _SMALLEST[version]:
        raise InvalidRequest(
            f"address {text}: the network is too small for a router and a next hop",
            f"expected /1 to /{_SMALLEST[version]}",
        )
    own = InterfaceAddress(IPAddress(host), int(length))
    allowed = ip.usable(own.cidr)
    if not allowed.first <= own.ip <= allowed.last:
        raise InvalidRequest(f"address {text} is not a host address of {own.cidr}", f"those are {allowed}")
    return own
