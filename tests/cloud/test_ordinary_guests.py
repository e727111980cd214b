"""What users of ordinary guests see: addresses, routes, MTU, renewal, large transfers, names and a live migration.

All tests share one guest of each kind (tests/cloud/ordinary.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise, permutations

import pytest

from lab import Guest
from tests.cloud.migration import migrate, settled
from tests.cloud.nameserver import SERVER
from tests.cloud.ordinary import (
    DOMAIN,
    GATEWAY,
    MTU,
    SETTINGS,
    SUBNET,
    OrdinaryGuest,
    boot,
    kinds,
    resolvers,
    wait_booted,
)
from tests.cloud.world import World

Guests = dict[str, OrdinaryGuest]
TRANSFER = "seq 1 300000"  # prints 2 MB
PORT = 5001
NOT_FOUND = 2  # exit status of getent
UNUSED = "10.80.0.254"


@pytest.fixture(scope="module")
def guests(session_world: World) -> Iterator[Guests]:
    """A guest of each kind: networkd and the lab's own on hv1, NetworkManager on hv2."""
    world = session_world
    world.ovnhook("subnet", "create", *SETTINGS)
    options = ["ovn-nbctl", "--bare", "--columns=options", "list", "DHCP_Options"]
    for server in resolvers(world):  # at once, unless the agents have not reported yet that they serve names
        world.wait_for(lambda: f"dns_server={{{server}}}" in world.control.run(options).stdout, "the resolver")  # noqa: B023
    hosts = {"networkd": world.hv1, "manager": world.hv2, "plain": world.hv1}
    try:
        booting = [(kind, boot(world, hosts[kind.name], kind)) for kind in kinds()]
        yield {kind.name: wait_booted(world, guest, kind) for kind, guest in booting}
    finally:
        world.make_whole()
        world.remove_domains()
        world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
        world.ovnhook("subnet", "delete", SUBNET)


def test_addresses_routes_and_mtu(guests: Guests) -> None:
    """The leased addresses, the MTU that goes through a tunnel, and routes: the router has no external gateway."""
    for one in guests.values():
        shown = one.run("ip address show {nic}; ip route; ip -6 route")
        assert f"inet {one.address}/24 " in shown
        assert f"inet6 {one.address6}/128 " in shown
        for other in ("10.10.0.0/24", "10.20.0.0/24"):
            assert shown.count(f"{other} via {GATEWAY} dev {one.nic} ") == 1
        assert f"default via {GATEWAY}" not in shown
        assert shown.count("default via fe80::") == 1  # OVN can't advertise a router that is none
        assert f" mtu {MTU} " in shown


def test_what_their_tools_say(guests: Guests) -> None:
    """networkctl and nmcli: connected, and the search domain by DHCP and by router advertisements."""
    guests["networkd"].says("networkctl --no-legend list {nic}", r"routable +configured")
    manager, shown = guests["manager"], "nmcli -t -f GENERAL.STATE,IP4,IP6 device show {nic}"
    for line in (
        "GENERAL.STATE:100 .connected.",
        rf"IP4.ADDRESS.1.:{manager.address}/24",
        rf"IP4.DOMAIN.1.:{DOMAIN}",
        rf"IP6.SEARCHES.1.:{DOMAIN}",  # with the next advertisement
    ):
        manager.says(shown, rf"(?m)^{line}$")
    assert f"search {DOMAIN}\n" in manager.run("cat /etc/resolv.conf")


def test_a_renewed_lease(session_world: World, guests: Guests) -> None:
    """Has what was changed in the meantime, and the same address."""
    for setting, server in (
        (("--dns", "10.80.0.53"), r"10\.80\.0\.53\b"),
        (("--no-dns",), r"(?s)\A(?!.*10\.80\.0\.53)"),
    ):
        session_world.ovnhook("subnet", "set", SUBNET, *setting)
        for one in guests.values():
            one.says(f"{one.kind.renew} >/dev/null; {one.kind.servers}", server)
            for address in (one.address, one.address6):
                one.says("ip address show {nic}", f" {address}/")


def test_large_transfers(guests: Guests) -> None:
    """TCP with packets as large as the MTU allows, on one host and between two, over IPv4 and IPv6."""
    expected = guests["plain"].run(f"{TRANSFER} | md5sum")
    for source, target in pairwise([*guests.values(), guests["networkd"]]):
        for address in (target.address, target.address6):
            # The command in the background ends with the connection.
            target.run(f"busybox nc -l -p {PORT} -e sh -c 'md5sum >/run/sum' </dev/null >/dev/null 2>&1 &")
            target.says("busybox netstat -ltn", rf":{PORT} ")
            source.run(f"{TRANSFER} | busybox nc {address} {PORT}")
            target.says("cat /run/sum", expected)


def test_migration_keeps_a_connection(session_world: World, guests: Guests) -> None:
    """A TCP connection in which a line is sent every tenth of a second outlives it, there and back."""
    world, moves, stays = session_world, guests["networkd"], guests["manager"]
    stays.run(f"busybox nc -l -p {PORT} -e sh -c 'cat >/run/lines' </dev/null >/dev/null 2>&1 &")
    stays.says("busybox netstat -ltn", rf":{PORT} ")
    send = "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1; done"
    moves.run(f"({send}) | busybox nc {stays.address} {PORT} >/dev/null 2>&1 & echo $! >/run/pid")

    def received() -> int:
        return len(stays.run("cat /run/lines").split())

    for source, target in ((world.hv1, world.hv2), (world.hv2, world.hv1)):
        migrate(world, moves.name, source, target)
        settled(world, moves.name, target)
        moves.guest = Guest(target, moves.name)
        before = received()
        world.wait_for(lambda: received() > before + 10, "more lines")  # noqa: B023
    lines = stays.run("cat /run/lines").split()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    moves.run("kill $(cat /run/pid)")
    assert f"inet {moves.address}/24 " in moves.run("ip address show {nic}")


def test_names_as_programs_find_them(guests: Guests) -> None:
    """By glibc, with and without systemd-resolved, and by musl: both addresses, back, in any case, prompt refusals."""
    for one, other in permutations(guests.values(), 2):
        name, short = f"{other.name}.{DOMAIN}", other.name if one.name != "networkd" else ""  # it searches no domain
        for asked in filter(None, (name, name.upper(), short)):
            assert {line.split()[0] for line in one.run(f"getent ahosts {asked}").splitlines()} == {
                other.address,
                other.address6,
            }
            assert f" {other.name}" in one.run(f"ping -c 1 {asked} | head -n 1").lower()
        for address in (other.address, other.address6):
            assert one.run(f"getent hosts {address}").split() == [address, name]
            assert one.run(f"/lab/names find {address}") == f"{address}: {name}\n"
        found = one.run(f"/lab/names find {name} {short}")
        assert found.count(f"{other.address} {other.address6}\n") == (2 if short else 1)
        for unknown in (f"nobody.{DOMAIN}", *(["nobody"] if short else [])):
            assert one.guest.execute(f"getent ahosts {unknown}")[0] == NOT_FOUND
            assert one.run(f"/lab/names find {unknown}", check=False) == f"{unknown}: Name does not resolve\n"


def test_names_by_resolvectl(guests: Guests) -> None:
    """With EDNS, as systemd-resolved asks: addresses, a name for an address, no such name, no such type."""
    one, other = guests["networkd"], guests["manager"]
    name = f"{other.name}.{DOMAIN}"
    found = one.run(f"resolvectl query {name}")
    assert other.address in found
    assert other.address6 in found
    for address in (other.address, other.address6):
        assert f"{address}: {name}" in one.run(f"resolvectl query {address}")
    assert "not found" in one.run(f"resolvectl query nobody.{DOMAIN}", check=False)
    assert "does not have any RR of the requested type" in one.run(f"resolvectl query -t MX {name}", check=False)
    assert one.guest.execute(f"getent ahosts {other.name}")[0] == NOT_FOUND  # it asks no server for a single label
    one.run(f"resolvectl domain {{nic}} {DOMAIN}")  # as by NetworkManager, or with UseDomains=yes
    assert other.address in one.run(f"getent ahosts {other.name}")
    one.run("resolvectl domain {nic} ''")


@pytest.mark.parametrize("options", ["", "-e", "-t", "-t -e"], ids=["UDP", "EDNS", "TCP", "EDNS over TCP"])
def test_queries_of_every_kind(session_world: World, guests: Guests, options: str) -> None:
    """All at once from one socket, A and AAAA of a name together, to either address of the resolver."""
    asked = _queries(guests["manager"])
    for one in (guests["networkd"], guests["plain"]):
        for server in resolvers(session_world):
            assert one.answers(f"{server} {' '.join(asked)}", options) == asked


def test_names_outside(session_world: World, guests: Guests) -> None:
    """The host's own DNS server answers, which knows www.example.org; without an address of IPv6, or the name."""
    control = session_world.control
    control.write("/run/dns", SERVER, 0o755)
    server = control.spawn("dns", ["/run/dns"])
    try:
        session_world.wait_for(lambda: "serving" in server.log.read_text(), "the name server")
        for one in guests.values():
            one.says("getent ahosts www.example.org", r"(?m)^192\.0\.2\.53 ")
            assert one.run("/lab/names find www.example.org") == "www.example.org: 192.0.2.53\n"
            assert one.guest.execute("getent ahosts www.example.net")[0] == NOT_FOUND
    finally:
        server.kill()


def test_names_without_the_control_host(session_world: World, guests: Guests) -> None:
    """All daemons of the control host hang, which is the gateway, too: guests are answered by their own host."""
    server = resolvers(session_world)[0]
    for daemon in session_world.control.daemons.values():
        daemon.pause()
    try:
        asked = _queries(guests["manager"])
        for one in guests.values():
            assert one.answers(f"{server} {' '.join(asked)}") == asked
            for other in guests.values():
                assert other.address in one.run(f"getent ahosts {other.name}.{DOMAIN}")
    finally:
        session_world.make_whole()


def _queries(one: OrdinaryGuest) -> dict[str, str]:
    """Names and types, and what the resolver has to answer."""
    name = f"{one.name}.{DOMAIN}"
    return {
        f"{one.name} A": f"NOERROR {one.address}",
        f"{one.name} AAAA": f"NOERROR {one.address6}",
        f"{name} A": f"NOERROR {one.address}",
        f"{name.upper()} AAAA": f"NOERROR {one.address6}",
        f"{name} MX": "NOERROR",
        "nobody A": "NXDOMAIN",
        "nobody AAAA": "NXDOMAIN",
        f"nobody.{DOMAIN} A": "NXDOMAIN",
        f"_ldap._tcp.{DOMAIN} SRV": "NXDOMAIN",
        f"{ip_address(one.address).reverse_pointer} PTR": f"NOERROR {name}",
        f"{ip_address(one.address6).reverse_pointer} PTR": f"NOERROR {name}",
        f"{ip_address(UNUSED).reverse_pointer} PTR": "NXDOMAIN",
    }
