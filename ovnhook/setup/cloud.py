"""Initial resources of a cloud: the default subnet, and the router's external gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound, Unavailable
from ovnhook.setup.step import Step
from ovnhook.setup.uplink import PHYSICAL_NETWORK

_ROUTER = "gateway"
_SUBNET = "main"  # libvirt has a network "default" of its own nearly everywhere


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
        address: external address of the router, with its prefix length.
        next_hop: next hop of the default route.
    """

    address: str
    next_hop: str

    @property
    def fields(self) -> dict[str, str]:
        """Fields of the API's Router message."""
        six = "6" if ipaddress.ip_interface(self.address).version == 6 else ""
        return {
            "physical_network": PHYSICAL_NETWORK,
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


def steps(api: Api, subnet: str, external: ExternalGateway | None) -> Iterator[Step]:
    """Create the default subnet, and configure the external gateway.

    Args:
        api: client of the control service.
        subnet: CIDR of the default subnet, if there is none yet.
        external: external gateway of the router, or None.
    """
    yield Step(
        "the control service answers",
        lambda: _answers(api),
        timeout=120,
        hint="systemctl status ovnhook-control; journalctl -u ovnhook-control",
    )
    there = _default(api)
    yield Step(
        f"the default subnet is {there or f'{_SUBNET}, {subnet}'}",
        lambda: bool(_default(api)),
        lambda: _create(api, subnet),
    )
    if external:
        _check_external(api, external)
        yield Step(
            f"router {_ROUTER} has the external address {external.address} and next hop {external.next_hop}",
            lambda: external.fields.items() <= _router(api).items(),
            lambda: _set_external(api, external),
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
    api.call("CreateSubnet", subnet={"name": _SUBNET, "cidr": cidr, "default": True, "router": _ROUTER})


def _router(api: Api) -> dict[str, Any]:
    try:
        return api.call("GetRouter", name=_ROUTER)
    except NotFound:
        return {}


def _check_external(api: Api, external: ExternalGateway) -> None:
    present = _router(api)
    if present.get("physical_network") and not external.fields.items() <= present.items():
        address = present["address"] or present["address6"]
        raise AlreadyExists(
            f"router {_ROUTER} already has the external address {address}",
            f"change it with ovnhook router set {_ROUTER}, or omit --external-cidr and --next-hop",
        )


def _set_external(api: Api, external: ExternalGateway) -> None:
    mask = {"paths": list(external.fields)}
    api.call("UpdateRouter", router={"name": _ROUTER, **external.fields}, update_mask=mask)
