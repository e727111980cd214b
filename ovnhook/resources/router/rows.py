"""Names and external_ids of a router's rows, and their reader. Pure."""

from __future__ import annotations

from netaddr import IPAddress, IPNetwork

from ovnhook.base import labels, uuids
from ovnhook.ovsdb.operation import Row
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.reading import limits_of, number_of, reader
from ovnhook.resources.router.values import EXTERNAL_NETWORK, External, InterfaceAddress, Router
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.tables import ROUTER

_LAST_VLAN = 4094  # IEEE 802.1Q


def router_port(router: str, subnet: str) -> str:
    """Name of a router's port on a subnet.

    It has both names: ovn-controller 23.03 fails when a port moves to another router and keeps its name.
    """
    return f"subnet:{subnet}:{router}"


def router_peer(router: str, subnet: str) -> str:
    """Name of a switch port to a router."""
    return f"router:{subnet}:{router}"


def localnet_port(router: str, physical_network: str) -> str:
    """Name of the localnet port of a router's external switch.

    ovn-controller names the patch port of a host's bridge after it, and does not move one to the bridge of another
    physical network, so the name depends on that. Earlier versions wrote the short name for all of them.
    """
    return f"localnet:{router}" if physical_network == EXTERNAL_NETWORK else f"localnet:{router}:{physical_network}"


def router_ids(router: Router) -> dict[str, str]:
    """External_ids of a Logical_Router: all settings of a router."""
    ids = kind("router", router=router.name)
    external = router.external
    if external is None:
        return ids
    return ids | kind(
        "router",
        physical_network=external.physical_network,
        address=str(external.address or ""),
        next_hop=str(external.next_hop or ""),
        vlan=str(external.vlan),
        snat="yes" if external.snat else "no",
        mtu=str(Subnet.mtu),  # earlier versions need it
        address6=str(external.address6 or ""),
        next_hop6=str(external.next_hop6 or ""),
        snat6="yes" if external.snat6 else "no",
        mac=external.mac,
        **{f"limit_{way}": rate for way, rate in external.limits.by_direction.items() if rate},
    )


@reader(ROUTER)
def read_router(row: Row) -> Router:
    """Parse a Logical_Router."""
    ids = own(row)
    if not ids.get("physical-network"):
        return Router(ids["router"])
    address4, hop4 = _external_address(ids.get("address"), ids.get("next-hop"), 4)
    address6, hop6 = _external_address(ids.get("address6"), ids.get("next-hop6"), 6)
    external = External(
        physical_network=ids["physical-network"],
        address=address4,
        next_hop=hop4,
        vlan=number_of(ids.get("vlan", "0"), _LAST_VLAN),
        snat=ids.get("snat", "yes") == "yes",
        address6=address6,
        next_hop6=hop6,
        snat6=ids.get("snat6") == "yes",
        mac=_mac(ids.get("mac")) or uuids.external_mac(None, ids["router"]),  # absent in rows of earlier versions
        limits=limits_of(ids),
    )
    return Router(ids["router"], external)


def _external_address(
    text: str | None, hop: str | None, version: int
) -> tuple[InterfaceAddress | None, IPAddress | None]:
    """A router's external address of an IP version, and its next hop."""
    if not text:
        return None, None
    if not hop:
        raise ValueError(f"address {text} has no next hop")
    network, next_hop = IPNetwork(text), IPAddress(hop)  # IPNetwork checks the prefix length
    if {network.version, next_hop.version} != {version}:
        raise ValueError(f"address {text} and next hop {hop} are not both of IPv{version}")
    return InterfaceAddress(network.ip, network.prefixlen), next_hop


def _mac(text: str | None) -> str:
    """Parse a MAC address; "" if there is none."""
    if text and not labels.MAC.fullmatch(text):
        raise ValueError(f"{text} is not a MAC address")
    return text or ""
