"""Verdicts of OVN on packets to and from interfaces of security groups, by ovn-trace(8) on northd's flows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.domains.values import Domain
from ovnhook.resources.subnet.values import resolver_mac, server_mac
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.northd import Northd
from tests.database.ovsdb_server import run

WEB, NEAR, FAR = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
ADDRESSES = {
    WEB: ("10.1.0.11", "fd00:1::11"),
    NEAR: ("10.1.0.12", "fd00:1::12"),
    FAR: ("10.2.0.13", "fd00:2::13"),
}
OUTSIDE = ("198.51.100.7", "2001:db8::7")


class Traces:
    """Three domains on two subnets of a router, and ovn-northd.

    Args:
        control: the control service.
        northd: ovn-northd.
    """

    def __init__(self, control: Control, northd: Northd) -> None:
        self.control, self._northd = control, northd
        self.domains: dict[str, Domain] = {}

    def attach(self, mac: str, *groups: str) -> None:
        """Put a domain into groups."""
        subnet = "green" if mac == FAR else "blue"
        if mac not in self.domains:
            self.domains[mac] = self.control.attach(f"d{mac[-1]}", subnet, "", mac)
        domain = self.domains[mac]
        addresses = tuple(map(IPAddress, ADDRESSES[mac]))
        (interface,) = domain.interfaces
        request = replace(interface.request, addresses=addresses, security_groups=tuple(sorted(groups)))
        named = replace(domain, interfaces=(replace(interface, request=request),))
        DirectHost(self.control.config).attach(named, Deadline.after(HANG))

    def change(self, *arguments: str) -> None:
        """Run ``ovnhook security-group``."""
        self.control.done("security-group", *arguments)

    def migrate(self, mac: str) -> None:
        """Migrate a domain, a moment ago."""
        attachment = DirectHost(self.control.config).attachment
        attachment.announce(self.domains[mac], "hv2", Deadline.after(HANG))
        attachment.finish_migration(self.domains[mac], "hv2", Deadline.after(HANG))

    def passes(self, source: str, destination: str, what: str, *, version: int = 4, state: str = "new") -> bool:
        """Trace a packet between two interfaces, by their MAC addresses."""
        index = 0 if version == 4 else 1
        routed = (source == FAR) != (destination == FAR)
        target = server_mac("green" if source == FAR else "blue") if routed else destination
        addresses = (
            f"ip{version}.src == {ADDRESSES[source][index]} && ip{version}.dst == {ADDRESSES[destination][index]}"
        )
        return self._output(source, f"eth.dst == {target} && {addresses} && ip.ttl == 64 && {what}", state) == {
            self._port(destination)
        }

    def sends(self, source: str, eth: str, packet: str, state: str = "new") -> set[str]:
        """Ports to which OVN outputs a packet."""
        return self._output(source, f"eth.dst == {eth} && {packet}", state)

    def _port(self, mac: str) -> str:
        return str(self.domains[mac].port_uuid(mac))

    def _output(self, source: str, packet: str, state: str) -> set[str]:
        self._northd.sync()
        subnet = "green" if source == FAR else "blue"
        flow = f'inport == "{self._port(source)}" && eth.src == {source} && {packet}'
        trace = run(
            "ovn-trace",
            f"--db={self.control.southbound.remote}",
            "--minimal",
            "--no-friendly-names",
            *(f"--ct={state}" for _ in range(8)),
            subnet,
            flow,
        )
        return {line.partition('output("')[2].partition('"')[0] for line in trace.splitlines() if "output(" in line}


@pytest.fixture
def traces(directory: Path, control: Control) -> Iterator[Traces]:
    """Group web, of domain 1, denies and allows what tests say."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--cidr6", "fd00:2::/64")
    for group in ("web-1", "clients"):
        control.done("security-group", "create", group)
    with Northd(directory, control.northbound, control.southbound) as northd:
        made = Traces(control, northd)
        made.attach(WEB, "web-1")
        made.attach(NEAR)
        made.attach(FAR, "clients")
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_inbound(traces: Traces, version: int) -> None:
    """Denied by default, and allowed by ports and sources; deny precedes allow; groups add up."""

    def passes(source: str, destination: str, what: str) -> bool:
        return traces.passes(source, destination, what, version=version)

    icmp = "icmp4" if version == 4 else "icmp6 && icmp6.type == 128"
    assert not any(passes(one, WEB, what) for one in (NEAR, FAR) for what in ("tcp.dst == 80", "udp.dst == 80", icmp))
    assert passes(WEB, NEAR, "tcp.dst == 80")
    assert not passes(WEB, FAR, "tcp.dst == 80")
    traces.change("allow", "web-1", "--from", "any", "--tcp", "80,443,7000-7010")
    assert all(passes(NEAR, WEB, f"tcp.dst == {port}") for port in (80, 443, 7000, 7010))
    assert passes(FAR, WEB, "tcp.dst == 80")
    assert not any(passes(NEAR, WEB, what) for what in ("tcp.dst == 81", "tcp.dst == 7011", "udp.dst == 80", icmp))
    traces.change("allow", "web-1", "--from", "group:clients", "--icmp")
    assert (passes(FAR, WEB, icmp), passes(NEAR, WEB, icmp)) == (True, False)
    traces.change("allow", "web-1", "--from", ADDRESSES[NEAR][0 if version == 4 else 1], "--protocol", "112")
    assert (passes(NEAR, WEB, "ip.proto == 112"), passes(FAR, WEB, "ip.proto == 112")) == (True, False)
    traces.change("allow", "clients", "--from", "any", "--udp", "53")
    assert not passes(NEAR, WEB, "udp.dst == 53")
    traces.attach(WEB, "web-1", "clients")
    assert passes(NEAR, WEB, "udp.dst == 53")
    traces.change("deny", "web-1", "--from", "10.2.0.0/24" if version == 4 else "fd00:2::/64")
    assert not passes(FAR, WEB, "tcp.dst == 80")
    assert passes(NEAR, WEB, "tcp.dst == 80")
    traces.attach(WEB)
    assert all(passes(one, WEB, "tcp.dst == 9") for one in (NEAR, FAR))


def test_replies_and_packets_from_port_53(traces: Traces) -> None:
    """Replies always pass; a packet from the port of DNS is like any other (CVE-2025-0650)."""
    assert traces.passes(NEAR, WEB, "tcp.src == 80 && tcp.dst == 40000", state="est,rpl")
    assert not traces.passes(NEAR, WEB, "udp.src == 53 && udp.dst == 9999")
    assert not traces.passes(NEAR, WEB, "tcp.src == 80 && tcp.dst == 40000", state="est")


def test_outbound_denied(traces: Traces) -> None:
    """Only replies, DHCP, ND and the subnet's DNS: not another server, and not by another group that allows it."""
    traces.change("set", "web-1", "--outbound", "deny")
    traces.attach(WEB, "web-1", "clients")
    for version in (4, 6):
        assert not traces.passes(WEB, NEAR, "tcp.dst == 80", version=version)
        assert traces.passes(WEB, NEAR, "tcp.src == 80 && tcp.dst == 40000", version=version, state="est,rpl")
    resolver = f"ip4.src == {ADDRESSES[WEB][0]} && ip4.dst == 10.1.0.2 && ip.ttl == 64"
    mac = resolver_mac("blue")
    for what in ("udp.dst == 53", "tcp.dst == 53"):
        assert traces.sends(WEB, mac, f"{resolver} && {what}") == {"dns:blue"}
        assert not traces.passes(WEB, NEAR, what)
    assert not traces.sends(WEB, mac, f"{resolver} && udp.dst == 54")
    resolver6 = f"ip6.src == {ADDRESSES[WEB][1]} && ip6.dst == fd00:1::2 && ip.ttl == 64"
    assert traces.sends(WEB, mac, f"{resolver6} && udp.dst == 53") == {"dns:blue"}
    solicitation = f"icmp6.type == 135 && icmp6.code == 0 && ip.ttl == 255 && nd.target == {ADDRESSES[NEAR][1]}"
    link = f"ip6.src == {ADDRESSES[WEB][1]} && ip6.dst == {ADDRESSES[NEAR][1]}"
    assert traces.sends(WEB, NEAR, f"{link} && {solicitation} && nd.sll == {WEB}") != set()


@pytest.mark.parametrize("outbound", ["allow", "deny"])
def test_after_a_migration(traces: Traces, outbound: str) -> None:
    """The peer's packets of connections pass, though the destination knows none yet; others are as before."""
    traces.change("set", "web-1", "--outbound", outbound)
    under_way = "tcp.dst == 40000 && tcp.flags == 0x10"
    assert not traces.passes(NEAR, WEB, under_way)
    assert traces.passes(WEB, NEAR, under_way) is (outbound == "allow")
    traces.migrate(WEB)
    for version in (4, 6):
        assert traces.passes(NEAR, WEB, under_way, version=version)
        assert traces.passes(WEB, NEAR, under_way, version=version)
        assert not traces.passes(NEAR, WEB, "tcp.dst == 40000 && tcp.flags == 0x02", version=version)
        assert not traces.passes(NEAR, WEB, "udp.dst == 40000", version=version)
    traces.change("deny", "web-1", "--from", ADDRESSES[NEAR][0])
    assert not traces.passes(NEAR, WEB, under_way)
