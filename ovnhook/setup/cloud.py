"""What a cloud begins with: a default subnet, and the router's way outside."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound, Unavailable
from ovnhook.setup.step import Step
from ovnhook.setup.uplink import PHYSICAL_NETWORK

_ROUTER = "gateway"
_SUBNET = "default"


class Api(Protocol):
    """The control service, as a client of it is."""

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        """Call a method of ``ovnhook.v1`` by its name."""

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        """All rows of a list."""


@dataclass(frozen=True)
class ExternalGateway:
    """The router's place in the network outside.

    Attributes:
        address: its own there, with the network's length.
        next_hop: where all goes that is not inside.
    """

    address: str
    next_hop: str

    @property
    def fields(self) -> dict[str, str]:
        """It as the API calls it: one family has its fields' plain names."""
        six = "6" if ipaddress.ip_interface(self.address).version == 6 else ""
        return {
            "physical_network": PHYSICAL_NETWORK,
            f"address{six}": str(ipaddress.ip_interface(self.address)),
            f"next_hop{six}": str(ipaddress.ip_address(self.next_hop)),
        }


def outside(cidr: str, next_hop: str) -> ExternalGateway:
    """The router's place outside, as somebody wrote it.

    Raises:
        InvalidRequest: it can't be.
    """
    try:
        own, hop = ipaddress.ip_interface(cidr), ipaddress.ip_address(next_hop)
    except ValueError as error:
        raise InvalidRequest(f"outside: {error}") from error
    if "/" not in cidr or (own.ip == own.network.network_address and own.network.num_addresses > 2):
        raise InvalidRequest(
            f"'{cidr}' is not an address with its network's length",
            "the router's own address outside, as in 203.0.113.10/24",
        )
    if hop not in own.network or hop == own.ip:
        raise InvalidRequest(f"the next hop {next_hop} is no other address in {own.network}")
    return ExternalGateway(cidr, next_hop)


def steps(api: Api, subnet: str, leg: ExternalGateway | None) -> Iterator[Step]:
    """The default subnet, and the way outside if there is to be one.

    Args:
        api: the control service.
        subnet: the addresses of the default subnet, if there is none yet.
        leg: the router's place outside.
    """
    yield Step(
        "the control service answers",
        lambda: _answers(api),
        within=120,
        hint="systemctl status ovnhook-control; journalctl -u ovnhook-control",
    )
    there = _default(api)
    yield Step(
        f"the default subnet is {there or f'{_SUBNET}, {subnet}'}",
        lambda: bool(_default(api)),
        lambda: _create(api, subnet),
    )
    if leg:
        _check_leg(api, leg)
        yield Step(
            f"router {_ROUTER} leads outside with {leg.address} by {leg.next_hop}",
            lambda: leg.fields.items() <= _router(api).items(),
            lambda: _lead(api, leg),
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


def _check_leg(api: Api, leg: ExternalGateway) -> None:
    present = _router(api)
    if present.get("physical_network") and not leg.fields.items() <= present.items():
        where = present["address"] or present["address6"]
        raise AlreadyExists(
            f"router {_ROUTER} leads outside already, with {where}",
            f"ovnhook router set {_ROUTER} changes that; or leave --external-cidr and --next-hop out",
        )


def _lead(api: Api, leg: ExternalGateway) -> None:
    mask = {"paths": list(leg.fields)}
    api.call("UpdateRouter", router={"name": _ROUTER, **leg.fields}, update_mask=mask)
