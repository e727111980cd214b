"""Initial resources of a cloud: the default subnet, and the router's external gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from netaddr import AddrFormatError, IPNetwork

from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Unavailable
from ovnhook.resources import ip
from ovnhook.resources.router.values import EXTERNAL_NETWORK, HOST
from ovnhook.setup.step import Step

_ROUTER = "gateway"
_SUBNET = "main"  # libvirt has a network "default" of its own nearly everywhere
_DNS_DOMAIN = "main.internal"  # .internal is reserved for private use; some resolvers ask no server for a single label


class Api(Protocol):
    """Client of the control service."""

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        """Call a method of ``ovnhook.v1`` by its name."""

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        """Call a method that lists, and collect all pages."""


@dataclass(frozen=True)
class ExternalGateway:
    """External gateway of the router.

    Attributes:
        address: external address of the router, with its prefix length; "": the gateway host itself.
        next_hop: next hop of the default route.
    """

    address: str = ""
    next_hop: str = ""

    @property
    def is_host(self) -> bool:
        """Check for the default: the gateway host itself. Another external gateway that is there is kept."""
        return not self.address

    @property
    def fields(self) -> dict[str, str]:
        """Fields of the API's Router message."""
        if self.is_host:
            return {"physical_network": HOST}
        six = "6" if ipaddress.ip_interface(self.address).version == 6 else ""
        return {
            "physical_network": EXTERNAL_NETWORK,
            f"address{six}": str(ipaddress.ip_interface(self.address)),
            f"next_hop{six}": str(ipaddress.ip_address(self.next_hop)),
        }


def external_gateway(cidr: str, next_hop: str) -> ExternalGateway:
    """Validate an external gateway.

    Raises:
        InvalidRequest: invalid address or next hop.
    """
    try:
        own, hop = ipaddress.ip_interface(cidr), ipaddress.ip_address(next_hop)
    except ValueError as error:
        raise InvalidRequest(f"external gateway: {error}") from error
    if "/" not in cidr or (own.ip == own.network.network_address and own.network.num_addresses > 2):
        raise InvalidRequest(
            f"--external-cidr {cidr}: expected a host address with a prefix length",
            "the router's external address, as in 203.0.113.10/24",
        )
    if hop not in own.network or hop == own.ip:
        raise InvalidRequest(f"--next-hop {next_hop}: expected another address in {own.network}")
    return ExternalGateway(cidr, next_hop)


def steps(
    api: Api,
    subnet: str,
    external: ExternalGateway | None,
    networks: Callable[[], Iterable[IPNetwork]] | None = None,
) -> Iterator[Step]:
    """Configure the external gateway, and create the default subnet.

    Args:
        api: client of the control service.
        subnet: CIDR of the default subnet, if there is none yet.
        external: external gateway of the router, or None.
        networks: returns the networks of this host, if it is the gateway host; None: only a new cloud gets the default
            external gateway.
    """
    yield Step(
        "the control service answers",
        lambda: _answers(api),
        timeout=120,
        hint="systemctl status ovnhook-control; journalctl -u ovnhook-control",
    )
    there = _default(api)
    if not there and networks:
        _check_networks(subnet, networks())
    if external and not _keeps(api, external, is_new=bool(networks) or not there):
        _check_external(api, external)
        address = f"has the external address {external.address} and next hop {external.next_hop}"
        yield Step(
            f"router {_ROUTER} {'reaches the outside through its gateway host' if external.is_host else address}",
            lambda: external.fields.items() <= _router(api).items(),
            lambda: _set_external(api, external),
        )
    yield Step(
        f"the default subnet is {there or f'{_SUBNET}, {subnet}'}",
        lambda: bool(_default(api)),
        lambda: _create(api, subnet),
    )


def _answers(api: Api) -> bool:
    try:
        api.pages("ListRouters", "routers")
    except Unavailable:
        return False
    return True


def _default(api: Api) -> str:
    found = (row for row in api.pages("ListSubnets", "subnets") if row["default"])
    return next((f"{row['name']}, {row['cidr'] or row['cidr6']}" for row in found), "")


def _create(api: Api, cidr: str) -> None:
    subnet = {"name": _SUBNET, "cidr": cidr, "default": True, "router": _ROUTER, "dns_domain": _DNS_DOMAIN}
    api.call("CreateSubnet", subnet=subnet)


def _router(api: Api) -> dict[str, Any]:
    try:
        return api.call("GetRouter", name=_ROUTER)
    except NotFound:
        return {}


def _keeps(api: Api, external: ExternalGateway, *, is_new: bool) -> bool:
    """Test whether the cloud keeps its external gateway, or keeps having none."""
    present = _router(api).get("physical_network", "")
    return external.is_host and (present not in ("", HOST) or (not present and not is_new))


def _check_networks(subnet: str, networks: Iterable[IPNetwork]) -> None:
    """Refuse a default subnet that is a network of this host: the host would not reach it any more."""
    try:
        own = IPNetwork(subnet)
    except (AddrFormatError, ValueError):
        return  # the control service says what is wrong
    if pair := ip.overlap([own], networks):
        raise FailedPrecondition(
            f"subnet {own} overlaps with network {pair[1]} of this host", "choose another one: --subnet CIDR"
        )


def _check_external(api: Api, external: ExternalGateway) -> None:
    present = _router(api)
    if present.get("physical_network", "") not in ("", HOST) and not external.fields.items() <= present.items():
        address = present["address"] or present["address6"]
        raise AlreadyExists(
            f"router {_ROUTER} already has the external address {address}",
            f"change it with ovnhook router set {_ROUTER}, or omit --external-cidr and --next-hop",
        )


def _set_external(api: Api, external: ExternalGateway) -> None:
    mask = {"paths": list(external.fields)}
    api.call("UpdateRouter", router={"name": _ROUTER, **external.fields}, update_mask=mask)
