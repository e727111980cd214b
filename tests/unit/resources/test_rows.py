"""Values of the model and the rows that they are written as: two values are equal if and only if their rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from ovnhook.ovsdb.operation import Row, as_map, map_of, set_of
from ovnhook.resources.floating_ip.rows import floating_ip_rows, read_floating_ip
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.ip import Range
from ovnhook.resources.lease.rows import lease_columns, lease_index_columns, read_lease, read_lease_index
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.port.rows import port_columns, port_ids, port_options, read_port
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry, registry_columns
from ovnhook.resources.router import topology
from ovnhook.resources.router.rows import read_router, router_ids
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.rows import read_subnet, subnet_ids
from ovnhook.resources.subnet.values import Subnet, server_mac
from ovnhook.resources.virtual_address.rows import (
    read_virtual_address,
    read_virtual_port,
    virtual_address_columns,
    virtual_port_columns,
    virtual_port_ids,
    virtual_port_options,
)
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort

FLAGS = st.booleans()
UUIDS = st.sampled_from([UUID(int=1), UUID(int=2)])
NAMES = st.sampled_from(["", "a", "b"])
LABELS = st.sampled_from(["a", "b"])
MACS = st.sampled_from(["52:54:00:00:00:01", "52:54:00:00:00:02"])
KEEPERS = st.sampled_from(Owner)
FOUR = st.sampled_from([*map(IPAddress, ("10.0.0.1", "10.0.0.2"))])
SIX = st.sampled_from([*map(IPAddress, ("fd00::1", "fd00::2", "::ffff:10.0.0.1"))])
EITHER = FOUR | SIX
OWN4 = st.builds(InterfaceAddress, FOUR, st.sampled_from([24, 25]))
OWN6 = st.builds(InterfaceAddress, SIX, st.sampled_from([64, 96]))
CIDRS = st.sampled_from([*map(IPNetwork, ("10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25"))])
CIDRS6 = st.sampled_from([*map(IPNetwork, ("fd00::/64", "fd00::/80"))])

EXTERNALS = st.builds(
    lambda four, six, **more: External(address=four[0], next_hop=four[1], address6=six[0], next_hop6=six[1], **more),
    four=st.just((None, None)) | st.tuples(OWN4, FOUR),
    six=st.just((None, None)) | st.tuples(OWN6, SIX),
    physical_network=LABELS,
    vlan=st.integers(0, 2),
    snat=FLAGS,
    snat6=FLAGS,
    mac=MACS,
)
ROUTERS = st.builds(Router, LABELS, st.none() | EXTERNALS)


def _is_possible(subnet: Subnet) -> bool:
    """Whether its addresses are of its networks: of others the reader refuses the row."""
    return (
        all(gateway in network for network, gateway in subnet.gateways.items())
        and all(pool.first <= pool.last for pool in subnet.ranges)
        and all(pool.first in subnet.cidr and pool.last in subnet.cidr for pool in subnet.ranges)
        and all(any(one in network for network in subnet.gateways) for one in subnet.resolvers)
    )


SUBNETS = st.builds(
    lambda six, **more: Subnet(cidr6=six[0], gateway6=six[1], **more),
    six=st.just((None, None)) | st.tuples(CIDRS6, SIX),
    name=LABELS,
    cidr=CIDRS,
    gateway=FOUR,
    router=NAMES,
    ranges=st.lists(st.builds(Range, FOUR, FOUR), max_size=2).map(tuple),
    dns=st.lists(EITHER, max_size=2).map(tuple),
    dns_domain=NAMES,
    mtu=st.sampled_from([1400, 1442]),
    isolated=FLAGS,
    resolvers=st.lists(EITHER, max_size=2).map(tuple),
).filter(_is_possible)
VIRTUAL = st.lists(EITHER, max_size=2, unique=True).map(lambda some: tuple(sorted(some)))
LEASES = st.builds(
    Lease,
    subnet=LABELS,
    address=EITHER,
    domain=UUIDS,
    domain_name=LABELS,
    mac=MACS,
    hostname=LABELS,
    host=LABELS,
    run=NAMES,
    by_default=FLAGS,
    keep=FLAGS,
    virtual=VIRTUAL,
)
OPTIONS = st.builds(PortOptions, security=FLAGS, virtual=VIRTUAL) | st.builds(
    PortOptions, st.sampled_from([("10.9.0.0/24",), ("10.9.0.0/24", "52:54:00:00:00:09"), ("fd00:9::1",)])
)
PORTS = st.builds(
    Port,
    id=LABELS,
    subnet=LABELS,
    mac=MACS,
    addresses=st.lists(EITHER, min_size=1, max_size=2).map(tuple),
    domain=UUIDS,
    domain_name=LABELS,
    host=LABELS,
    kept_by=KEEPERS,
    moving_to=NAMES,
    options=OPTIONS,
)
LEASE_INDEXES = st.builds(
    LeaseIndex,
    domain=UUIDS,
    domain_name=LABELS,
    host=LABELS,
    leases=st.lists(st.tuples(MACS, LABELS, EITHER), max_size=2, unique_by=lambda lease: lease[0]).map(
        lambda leases: tuple(sorted(leases))
    ),
    kept_by=KEEPERS,
    moving_to=NAMES,
)
FLOATING = st.builds(
    FloatingIp,
    address=FOUR,
    router=LABELS,
    subnet=LABELS,
    inside=FOUR,
    domain=UUIDS,
    domain_name=LABELS,
    mac=MACS,
)
VIRTUAL_ADDRESSES = st.builds(
    VirtualAddress,
    subnet=LABELS,
    address=EITHER,
    holders=st.lists(
        st.builds(Holder, UUIDS, MACS, NAMES), min_size=1, max_size=2, unique_by=lambda one: (one.domain, one.mac)
    ).map(lambda some: tuple(sorted(some))),
    run=NAMES,
)
VIRTUAL_PORTS = st.builds(
    VirtualPort, LABELS, EITHER, st.lists(LABELS, max_size=2, unique=True).map(lambda some: tuple(sorted(some)))
)
REGISTRIES = st.builds(Registry, st.integers(0, 2), NAMES, st.none() | UUIDS)


def _port_row(port: Port) -> Row:
    options, ids = as_map(port_options(port)), as_map(port_ids(port))
    return {**port_columns(port), "options": options, "external_ids": ids, "up": False}


def _virtual_port_row(port: VirtualPort) -> Row:
    options, ids = as_map(virtual_port_options(port)), as_map(virtual_port_ids(port))
    return {**virtual_port_columns(port), "options": options, "external_ids": ids}


WRITTEN: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Row], Callable[[Row], Any]]] = {
    "router": (ROUTERS, lambda one: {"external_ids": as_map(router_ids(one))}, read_router),
    "subnet": (SUBNETS, lambda one: {"external_ids": as_map(subnet_ids(one))}, read_subnet),
    "lease": (LEASES, lease_columns, read_lease),
    "port": (PORTS, _port_row, read_port),
    "lease_index": (LEASE_INDEXES, lease_index_columns, read_lease_index),
    "floating": (FLOATING, lambda one: floating_ip_rows(one)[one.uuid].row, read_floating_ip),
    "virtual": (VIRTUAL_ADDRESSES, virtual_address_columns, read_virtual_address),
    "virtual_port": (VIRTUAL_PORTS, _virtual_port_row, read_virtual_port),
    "registry": (REGISTRIES, registry_columns, read_registry),
}


def _mixed(data: st.DataObject, one: Any, other: Any) -> Any:
    """One value with some fields of another: most often they differ in one or two of them."""
    if type(one) is not type(other) or not is_dataclass(one) or isinstance(one, type):
        return other
    some = data.draw(st.sets(st.sampled_from([field.name for field in fields(one) if field.init]), max_size=2))
    return replace(one, **{name: _mixed(data, getattr(one, name), getattr(other, name)) for name in some})


@pytest.mark.parametrize("kind", WRITTEN)
@given(data=st.data())
def test_equal_if_and_only_if_written_alike(kind: str, data: st.DataObject) -> None:
    """Also by hash, in a set, in a dictionary and after a round trip."""
    values, write, read = WRITTEN[kind]
    one = data.draw(values)
    other = _mixed(data, one, data.draw(values))
    alike = write(one) == write(other)
    assert (one == other) is alike
    assert (one != other) is not alike
    assert (one in {other}) is alike
    assert ({one: 1}.get(other) == 1) is alike
    assert len({one, other}) == 2 - alike
    assert read(write(one)) == one


@given(OWN4 | OWN6, OWN4 | OWN6)
def test_addresses_of_interfaces(one: InterfaceAddress, other: InterfaceAddress) -> None:
    """Host bits count; the network does without them."""
    assert (one == other) is (str(one) == str(other))
    assert (one.cidr == other.cidr) is (str(one.cidr) == str(other.cidr))
    assert one.ip in one.cidr
    assert one.version == one.cidr.version == one.ip.version


@given(ROUTERS, ROUTERS)
def test_a_router_of_other_rows_has_other_operations(one: Router, other: Router) -> None:
    """And one of the same rows has none."""
    one = replace(one, name=other.name)
    operations = topology.network_operations(Network(one), Network(other))
    assert bool(operations) is (router_ids(one) != router_ids(other))


def test_an_owner_of_a_newer_version() -> None:
    """It is not libvirt, so no agent removes the port."""
    port = Port("p", "blue", "52:54:00:00:00:01", (), UUID(int=1), "web", "hv1")
    lease_index = LeaseIndex(port.domain, "web", "hv1", ())
    newer = {"ovnhook:kept-by": "whoever comes"}
    ids = as_map(port_ids(port) | newer)
    assert read_port({**_port_row(port), "external_ids": ids}).kept_by is Owner.CLIENT
    ids = as_map(map_of(lease_index_columns(lease_index)["external_ids"]) | newer)
    assert read_lease_index({**lease_index_columns(lease_index), "external_ids": ids}).kept_by is Owner.CLIENT


def test_a_network_with_host_bits_is_none_of_a_subnet() -> None:
    """A row that says so, of whoever's hand, is broken: it is not taken for another one."""
    with pytest.raises(ValueError, match=r"network 10\.0\.0\.5/24 has host bits set"):
        Subnet("blue", IPNetwork("10.0.0.5/24"), IPAddress("10.0.0.1"))
    blue = Subnet("blue", IPNetwork("10.0.0.0/24"), IPAddress("10.0.0.1"))
    ids = {**subnet_ids(blue), "ovnhook:cidr": "10.0.0.5/24"}
    with pytest.raises(BrokenRow):
        read_subnet({"external_ids": as_map(ids)})


@given(st.integers(0, 2**64 - 1), st.sampled_from(["six", "blue"]))
def test_link_local_addresses_of_a_port(host: int, subnet: str) -> None:
    """Any but those that have the first half of the MAC address of the subnet's router; none without IPv6."""
    port = Port("p", subnet, "52:54:00:00:00:01", (IPAddress("fd00::1"),), UUID(int=1), "web", "hv1")
    (entry,) = set_of(port_columns(port)["port_security"])
    allowed = [IPNetwork(text) for text in entry.split()[2:]]
    mac = server_mac(subnet)
    router = EUI(mac).ipv6_link_local()
    address = IPAddress((0xFE80 << 112) + host, 6)
    reserved = int(address) >> 40 == int(router) >> 40
    assert any(address in network for network in allowed) is not reserved
    assert not any(router in network for network in allowed)
    four = replace(port, addresses=(IPAddress("10.0.0.1"),))
    assert set_of(port_columns(four)["port_security"]) == ["52:54:00:00:00:01 10.0.0.1"]
