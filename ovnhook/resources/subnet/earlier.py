"""Changes by which guests of existing subnets ask resolvers instead of OVN. Pure.

A subnet of an earlier version has no resolver: OVN answers from the DNS records that its switch refers to. Each step is
one transaction; the steps wait for hosts and guests (ovnhook.control.dnsupgrade).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import replace

from netaddr import IPAddress

from ovnhook.resources.kind import Change, Put
from ovnhook.resources.kinds import complete
from ovnhook.resources.registry import FORMAT, increment_serial
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet


def use_resolvers(cloud: Cloud) -> tuple[Change, ...]:
    """Use resolvers from now on: earlier versions, which would revert their rows, refuse the format of these."""
    return (increment_serial(cloud, new_format=FORMAT),)


def lacks_resolver(subnet: Subnet) -> bool:
    """Check for a subnet of an earlier version that has room for a resolver in one of its networks, and has none."""
    return subnet.records_until is None and len(subnet.resolvers) < len(address.resolvers(subnet))


def add_resolvers(cloud: Cloud, leased: Callable[[Subnet], Container[IPAddress]]) -> tuple[Change, ...]:
    """Add resolvers to all subnets that lack one and have a free address.

    Args:
        cloud: current state.
        leased: returns the leased addresses of a subnet.
    """

    def changes() -> Iterator[Change]:
        for old in filter(lacks_resolver, cloud.of(Subnet)):
            new = replace(old, resolvers=address.resolvers(old, leased(old)))
            if new != old:
                yield Put(SUBNET, old, new)

    return _counted(cloud, changes())


def announce_resolvers(cloud: Cloud, now: int) -> tuple[Change, ...]:
    """Tell guests of the resolvers, by DHCP. OVN's DNS records stay until all guests know."""
    return _counted(
        cloud,
        (
            Put(SUBNET, one, replace(one, records_until=now + _longest_lease(one)))
            for one in cloud.of(Subnet)
            if one.records_until is None and not lacks_resolver(one)
        ),
    )


def remove_records(cloud: Cloud, now: int) -> tuple[Change, ...]:
    """Remove OVN's DNS records from the switches of subnets whose guests know the resolver.

    An end that is more than two DHCP lease times away was set by a wrong clock.
    """
    return _counted(
        cloud,
        (
            Put(SUBNET, one, replace(one, records_until=0))
            for one in cloud.of(Subnet)
            if one.records_until and not now < one.records_until <= now + 2 * _longest_lease(one)
        ),
    )


def _longest_lease(subnet: Subnet) -> int:
    """Seconds after which every guest has renewed its DHCP lease, also one from before the lease time was changed."""
    return max(subnet.dhcp.lease_time, DHCP_LEASE_TIME)


def _counted(cloud: Cloud, changes: Iterator[Change]) -> tuple[Change, ...]:
    found = tuple(changes)
    return complete((increment_serial(cloud), *found), cloud) if found else ()
