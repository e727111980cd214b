"""What users of ordinary guests see: addresses, routes, MTU, renewal, large transfers and a live migration.

All tests share one guest of each kind (tests/cloud/ordinary.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from lab import Guest
from tests.cloud.migration import migrate, settled
from tests.cloud.ordinary import (
    DOMAIN,
    GATEWAY,
    MTU,
    SETTINGS,
    SUBNET,
    OrdinaryGuest,
    boot,
    kinds,
    wait_booted,
)
from tests.cloud.world import World

Guests = dict[str, OrdinaryGuest]
TRANSFER = "seq 1 300000"  # prints 2 MB
PORT = 5001


@pytest.fixture(scope="module")
def guests(session_world: World) -> Iterator[Guests]:
    """A guest of each kind: networkd and the lab's own on hv1, NetworkManager on hv2."""
    world = session_world
    world.ovnhook("subnet", "create", *SETTINGS)
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
    """The leased addresses, one default route of each version, and the MTU that goes through a tunnel."""
    for one in guests.values():
        shown = one.run("ip address show {nic}; ip route; ip -6 route")
        assert f"inet {one.address}/24 " in shown
        assert f"inet6 {one.address6}/128 " in shown
        assert shown.count(f"default via {GATEWAY} dev {one.nic} ") == 1
        assert shown.count("default via fe80::") == 1
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
