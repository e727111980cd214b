"""Invariants of a cloud, given what libvirt reports: compared as values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RunningInterface:
    """An interface of a domain that runs."""

    host: str
    domain: str
    name: str
    mac: str
    device: str


@dataclass(frozen=True)
class ObservedPort:
    """A logical switch port of ours, with what the southbound database says of it."""

    name: str
    domain: str
    mac: str
    host: str
    requested: str
    moving: bool
    addresses: str
    dhcp: bool
    chassis: str
    up: bool


@dataclass(frozen=True)
class ObservedLease:
    """An address kept for an interface."""

    address: str
    domain: str
    mac: str


@dataclass(frozen=True)
class ObservedTap:
    """An interface on a host's integration bridge that has an iface-id."""

    host: str
    device: str
    iface_id: str
    domain: str


@dataclass(frozen=True)
class ObservedCloud:
    """A cloud at a moment.

    Attributes:
        interfaces: of all domains that run.
        known: UUIDs of the domains that run or are defined.
        holders: UUIDs of the domains that hold something.
        named: the addresses that names of guests lead to.
    """

    interfaces: tuple[RunningInterface, ...]
    known: frozenset[str]
    ports: tuple[ObservedPort, ...]
    leases: tuple[ObservedLease, ...]
    holders: tuple[str, ...]
    taps: tuple[ObservedTap, ...]
    named: frozenset[str]


def differences(cloud: ObservedCloud) -> list[str]:
    """What is not as it should be, in words; nothing when every domain, port, lease, tap and address is right."""
    return [*_missing(cloud), *_left_over(cloud), *_twice(cloud)]


def _missing(cloud: ObservedCloud) -> Iterator[str]:
    ports = {(port.domain, port.mac): port for port in cloud.ports}
    leases = {(lease.domain, lease.mac): lease for lease in cloud.leases}
    taps = {(tap.host, tap.device): tap for tap in cloud.taps}
    for one in cloud.interfaces:
        who = f"{one.name} {one.mac} on {one.host}"
        port, lease, tap = ports.get((one.domain, one.mac)), leases.get((one.domain, one.mac)), None
        if port is None:
            yield f"{who} has no port"
            continue
        tap = taps.get((one.host, one.device))
        if tap is None or (tap.iface_id, tap.domain) != (port.name, one.domain):
            yield f"{who}: tap {one.device} is {tap and tap.iface_id}, not {port.name}"
        if (port.host, port.requested, port.moving) != (one.host, one.host, False):
            moving = " and is moving" if port.moving else ""
            yield f"{who}: its port is {port.host}'s, requests {port.requested}{moving}"
        if (port.chassis, port.up) != (one.host, True):
            yield f"{who}: its port is bound on {port.chassis or 'no chassis'}, {'up' if port.up else 'down'}"
        if lease is None or port.addresses != f"{one.mac} {lease.address}":
            yield f"{who}: its lease is {lease and lease.address}, its port has {port.addresses}"
        elif lease.address not in cloud.named:
            yield f"{who}: no name leads to {lease.address}"
        if not port.dhcp:
            yield f"{who}: its port has no DHCP options"


def _left_over(cloud: ObservedCloud) -> Iterator[str]:
    running = {(one.domain, one.mac) for one in cloud.interfaces}
    plugged = {(one.host, one.device) for one in cloud.interfaces}
    for port in cloud.ports:
        if (port.domain, port.mac) not in running:
            yield f"port {port.name} ({port.mac}, of {port.host}) is there, and its domain does not run"
    for tap in cloud.taps:
        if (tap.host, tap.device) not in plugged:
            yield f"{tap.device} on {tap.host} is plugged for domain {tap.domain}, which does not run there"
    for lease in cloud.leases:
        if lease.domain not in cloud.known:
            yield f"lease {lease.address} is kept for domain {lease.domain}, which does not exist"
    for holder in cloud.holders:
        if holder not in cloud.known:
            yield f"domain {holder} holds something, and does not exist"
    for address in sorted(cloud.named - {lease.address for lease in cloud.leases}):
        yield f"a name leads to {address}, which nobody has"


def _twice(cloud: ObservedCloud) -> Iterator[str]:
    for what, found in (
        (
            "domain runs twice",
            [one.domain for one in {(one.host, one.domain): one for one in cloud.interfaces}.values()],
        ),
        ("lease of one address twice", [lease.address for lease in cloud.leases]),
        ("interface with two leases", [f"{lease.domain} {lease.mac}" for lease in cloud.leases]),
        ("address of two ports", [port.addresses.partition(" ")[2] for port in cloud.ports]),
        ("port of one name twice", [port.name for port in cloud.ports]),
        ("iface-id plugged twice", [tap.iface_id for tap in cloud.taps]),
    ):
        for value, count in Counter(found).items():
            if count > 1:
                yield f"{what}: {value}"
