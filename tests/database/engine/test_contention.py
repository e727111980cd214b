"""Many processes at once on one database: no address twice, no port lost, a full subnet told to everybody.

The processes are as two hosts' hooks would be: each has its own connections, and knows nothing of the others.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.pool import AsyncResult
from multiprocessing.synchronize import Barrier
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from lab.waiting import HANG
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Exhausted
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Put
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Cluster, Server, wait_for

PROCESSES = 8
LARGE = Subnet("large", IPNetwork("10.4.0.0/22"), IPAddress("10.4.0.1"), default=True)
SMALL = Subnet("small", IPNetwork("10.5.0.0/24"), IPAddress("10.5.0.1"), default=True)

INTERFACES = 500
_EACH = (1, 2, 3, 4)  # interfaces of one domain after the other


def test_five_hundred_interfaces_at_once(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """Eight processes of two hosts give each interface its port and an address that no other one has."""
    _make(northbound.remote, LARGE)
    configs = _configs([northbound.remote], make_host)
    domains = _domains(INTERFACES)
    refused = _at_once(configs, domains)
    assert refused == 0
    _assert_whole([northbound.remote], domains)


def test_five_hundred_interfaces_through_three_servers(cluster: Cluster, make_host: Callable[[str], Server]) -> None:
    """The same where each process asks another server of a cluster."""
    _make(cluster.remotes[0], LARGE)
    configs = _configs(cluster.remotes, make_host)
    domains = _domains(INTERFACES)
    assert _at_once(configs, domains) == 0
    _assert_whole(cluster.remotes, domains)


def test_the_leader_is_killed_on_the_way(cluster: Cluster, make_host: Callable[[str], Server]) -> None:
    """Every process has the other servers to go to: nobody is refused, and nothing is lost or there twice."""
    _make(cluster.remotes[0], LARGE)
    everywhere = [",".join(cluster.remotes)]
    configs = _configs(everywhere, make_host)
    domains = _domains(INTERFACES)
    leader = cluster.leader()
    watch = Northbound(next(server.remote for server in cluster.servers if server is not leader))

    def on_the_way() -> None:
        wait_for(lambda: len(watch.ports(Deadline.after(HANG))) >= INTERFACES / 5)
        assert leader.leads, "leadership moved by itself: kill the one that has it"
        leader.kill()
        assert len(watch.ports(Deadline.after(HANG))) < INTERFACES, "it was over before"

    assert _at_once(configs, domains, meanwhile=on_the_way) == 0
    _assert_whole([server.remote for server in cluster.servers if server is not leader], domains)


def test_the_last_address(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """Asked for more than it has by eight processes, a subnet gives its last address, and refuses just the rest."""
    _make(northbound.remote, SMALL)
    configs = _configs([northbound.remote], make_host)
    capacity = address.capacity(SMALL)
    assert capacity == 253
    more = 24
    domains = [_domain(n, 1) for n in range(capacity + more)]
    assert _at_once(configs, domains) == more
    ports = Northbound(northbound.remote).ports(Deadline.after(HANG))
    assert {where for port in ports for where in port.addresses} == {*address.candidates(SMALL, SMALL.cidr, "")}
    before = northbound.dump(versions=True)
    assert _at_once(configs, [_domain(1000 + n, 1) for n in range(2 * PROCESSES)]) == 2 * PROCESSES
    assert northbound.dump(versions=True) == before


def test_one_mac(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """Of domains that share a MAC in one subnet one has it, and one of each of the others' MACs; again when it ends."""
    _make(northbound.remote, LARGE)
    configs = _configs([northbound.remote], make_host)
    macs = 12
    domains = [_twin(number, number % macs) for number in range(macs * PROCESSES)]
    assert _at_once(configs, domains) == macs * (PROCESSES - 1)
    ports = Northbound(northbound.remote).ports(Deadline.after(20))
    assert Counter(port.mac for port in ports) == Counter(_twin(0, number).macs[0] for number in range(macs))


def _twin(number: int, mac: int) -> Domain:
    """A domain whose MAC address others have too."""
    one = _domain(number, 1)
    macs = (f"52:54:00:ff:00:{mac:02x}",)
    return replace(one, interfaces=(replace(one.interfaces[0], mac=macs[0]),), macs=macs)


def _make(remote: str, subnet: Subnet) -> None:
    Northbound(remote).commit(
        [Put(SUBNET, None, subnet), Put(REGISTRY, None, Registry(1, subnet.name))], Deadline.after(HANG)
    )


def _configs(remotes: Sequence[str], make_host: Callable[[str], Server]) -> list[Config]:
    """One for each process: two hosts in turn, the servers in turn."""
    hosts = [make_host("hv1"), make_host("hv2")]
    return [
        Config(northbound=remotes[n % len(remotes)], vswitch=hosts[n % len(hosts)].remote) for n in range(PROCESSES)
    ]


def _domain(number: int, interfaces: int) -> Domain:
    macs = tuple(f"52:54:00:{number >> 8:02x}:{number & 255:02x}:{n:02x}" for n in range(interfaces))
    request = InterfaceRequest(hostname=f"vm{number}")
    return Domain(
        UUID(int=number),
        f"vm{number}",
        number,
        tuple(Interface(mac, InterfaceType.BRIDGE, request) for mac in macs),
        macs,
    )


def _domains(interfaces: int) -> list[Domain]:
    """Domains of a few interfaces each, that many in all."""
    domains: list[Domain] = []
    while interfaces:
        size = min(interfaces, _EACH[len(domains) % len(_EACH)])
        domains.append(_domain(len(domains), size))
        interfaces -= size
    return domains


def _at_once(configs: Sequence[Config], domains: Sequence[Domain], meanwhile: Callable[[], None] = lambda: None) -> int:
    """Attach the domains, dealt out to a process for each configuration; how many were refused."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(len(configs))
    with context.Pool(len(configs), _begin, (together,)) as pool:
        dealt: list[AsyncResult[int]] = [
            pool.apply_async(_attach, (config, domains[n :: len(configs)])) for n, config in enumerate(configs)
        ]
        meanwhile()
        return sum(result.get(HANG) for result in dealt)


def _begin(together: Barrier) -> None:
    """In a process: wait until all are there, so that they do get into each other's way."""
    together.wait(HANG)


def _attach(config: Config, domains: Sequence[Domain]) -> int:
    """In a process: attach some domains; how many were refused. Any other error is the test's."""
    attachment = DirectHost(config)
    refused = 0
    for domain in domains:
        try:
            attachment.attach(domain, Deadline.after(HANG))
        except (AlreadyExists, Exhausted):
            refused += 1
    return refused


def _assert_whole(remotes: Sequence[str], domains: Sequence[Domain]) -> None:
    """Every interface has one port with one address that is its lease's; every server says so."""
    wanted = {(domain.uuid, mac) for domain in domains for mac in domain.macs}
    for remote in remotes:
        northbound = Northbound(remote)
        ports, leases = northbound.ports(Deadline.after(HANG)), northbound.leases(Deadline.after(HANG))
        assert Counter((port.domain, port.mac) for port in ports) == Counter(wanted)
        assert max(Counter(where for port in ports for where in port.addresses).values()) == 1
        there = {(lease.domain, lease.mac, lease.address) for lease in leases}
        assert there == {(port.domain, port.mac, *port.addresses) for port in ports}
        assert len(leases) == len(there)
        lease_indexes = {
            held.domain: {(mac, where) for mac, _, where in held.leases}
            for held in northbound.lease_indexes(Deadline.after(HANG))
        }
        assert lease_indexes == {
            domain.uuid: {(mac, where) for uuid, mac, where in there if uuid == domain.uuid} for domain in domains
        }
