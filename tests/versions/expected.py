"""What the databases in this folder say, as today's values: a change of these is seen by all earlier versions."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.ip import Range
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.router.values import External, InterfaceAddress, Router
from ovnhook.resources.subnet.values import Subnet, isolated_subnet
from tests.versions.filling import DOMAINS, identity, interface_id, mac

WEB, TWO, OWN, MOVES, OFF = (UUID(identity(name)) for name in DOMAINS)
APPLIANCE = uuids.client_domain("appliance")
BOX = "52:54:00:32:27:de"


def _subnet(name: str, cidr: str, gateway: str, router: str, cidr6: str = "") -> Subnet:
    network6 = IPNetwork(cidr6) if cidr6 else None
    own = Subnet(name, IPNetwork(cidr), IPAddress(gateway), router, cidr6=network6)
    return replace(own, gateway6=network6[1]) if network6 else own


def _range(first: str, last: str) -> Range:
    return Range(IPAddress(first), IPAddress(last))


SUBNETS = (
    _subnet("beside", "10.6.0.0/24", "10.6.0.1", "second"),
    replace(
        _subnet("everything", "10.1.0.0/24", "10.1.0.254", "gateway", "fd00:1::/64"),
        default=True,
        ranges=(_range("10.1.0.10", "10.1.0.99"), _range("10.1.0.150", "10.1.0.199")),
        dns=(IPAddress("192.0.2.53"), IPAddress("2001:db8::53")),
        dns_domain="example.org",
        mtu=1400,
    ),
    replace(_subnet(isolated_subnet(OWN), "10.224.0.0/28", "10.224.0.1", "gateway"), isolated=True),
    replace(_subnet("lone", "10.4.0.0/24", "10.4.0.1", "gateway", "fd00:4::/64"), isolated=True),
    _subnet("off", "10.5.0.0/24", "10.5.0.1", ""),
    _subnet("six", "fd00:3::/64", "fd00:3::1", "gateway"),
    _subnet("usual", "10.2.0.0/24", "10.2.0.1", "gateway"),
)


def routers(cloud: UUID | None) -> tuple[Router, ...]:
    """The routers of a cloud with this id; the versions before there was one have none."""
    outside = External(
        physical_network="external",
        address=InterfaceAddress(IPAddress("203.0.113.10"), 24),
        next_hop=IPAddress("203.0.113.254"),
        address6=InterfaceAddress(IPAddress("2001:db8:1::10"), 64),
        next_hop6=IPAddress("2001:db8:1::1"),
        snat6=True,
    )
    second = External(
        physical_network="external",
        address=InterfaceAddress(IPAddress("198.51.100.10"), 24),
        next_hop=IPAddress("198.51.100.1"),
        vlan=7,
        snat=False,
    )
    return tuple(
        Router(name, replace(one, mac=uuids.external_mac(cloud, name)))
        for name, one in (("gateway", outside), ("second", second))
    )


FLOATING = FloatingIp(
    IPAddress("203.0.113.20"), "gateway", "everything", IPAddress("10.1.0.20"), WEB, "web", mac("web")
)

LEASES = tuple(
    Lease(subnet, IPAddress(address), domain, name, where, hostname, host, run, by_default)
    for subnet, address, domain, name, where, hostname, host, run, by_default in (
        ("everything", "10.1.0.20", WEB, "web", mac("web"), "www", "hv1", "hv1/1", False),
        ("everything", "10.1.0.74", TWO, "two", mac("two"), "two", "hv1", "hv1/2", True),
        ("everything", "10.1.0.178", APPLIANCE, "appliance", BOX, "box", "hv2", "hv2/-1", False),
        ("everything", "fd00:1::2:ae1b", APPLIANCE, "appliance", BOX, "box", "hv2", "hv2/-1", False),
        ("everything", "fd00:1::d:4dfc", WEB, "web", mac("web"), "www", "hv1", "hv1/1", False),
        ("everything", "fd00:1::e:64bd", TWO, "two", mac("two"), "two", "hv1", "hv1/2", True),
        (isolated_subnet(OWN), "10.224.0.2", OWN, "own", mac("own"), "own", "hv2", "hv2/1", False),
        ("six", "fd00:3::7:d74f", OFF, "off", mac("off"), "off", "hv2", "hv2/2", False),
        ("usual", "10.2.0.30", MOVES, "moves", mac("moves"), "moves", "hv1", "hv1/3", False),
        ("usual", "10.2.0.117", TWO, "two", mac("two", 1), "two", "hv1", "hv1/2", False),
    )
)


def _held(domain: UUID) -> tuple[tuple[str, str, IPAddress], ...]:
    return tuple(sorted((one.mac, one.subnet, one.address) for one in LEASES if one.domain == domain))


LEASE_INDEXES = {
    WEB: LeaseIndex(WEB, "web", "hv1", _held(WEB)),
    TWO: LeaseIndex(TWO, "two", "hv1", _held(TWO)),
    OWN: LeaseIndex(OWN, "own", "hv2", _held(OWN)),
    MOVES: LeaseIndex(MOVES, "moves", "hv1", _held(MOVES), moving_to="hv2"),
    OFF: LeaseIndex(OFF, "off", "hv2", _held(OFF)),
    APPLIANCE: LeaseIndex(APPLIANCE, "appliance", "hv2", _held(APPLIANCE), Owner.CLIENT),
}


def _port(name: str, index: int = 0) -> Port:
    where, lease_index = mac(name, index), LEASE_INDEXES[UUID(identity(name))]
    ((subnet, *_), *_) = found = [(place, address) for one, place, address in lease_index.leases if one == where]
    addresses = tuple(address for _, address in found)
    return Port(
        interface_id(name, index),
        subnet,
        where,
        addresses,
        lease_index.domain,
        name,
        lease_index.host,
        moving_to=lease_index.moving_to,
        index=index,
    )


PORTS = (
    Port(
        str(uuids.port(APPLIANCE, BOX)),
        "everything",
        BOX,
        tuple(address for *_, address in LEASE_INDEXES[APPLIANCE].leases),
        APPLIANCE,
        "appliance",
        "hv2",
        Owner.CLIENT,
        index=0,
    ),
    _port("moves"),
    _port("own"),
    _port("two"),
    _port("two", 1),
    _port("web"),
)
CLAIMS = {Claim(port.subnet, port.mac, port.domain) for port in PORTS}
