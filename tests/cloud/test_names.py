"""Names, with guests that ask for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import Guest
from lab.domain import interface_xml
from tests.cloud.external import OUTSIDE, set_external_gateway
from tests.cloud.nameserver import SERVER
from tests.cloud.world import World


@pytest.fixture
def named(world: World) -> Iterator[World]:
    """Two subnets with domains, and a name server of the hosts that knows one name."""
    for subnet in ("default", "green"):
        world.ovnhook("subnet", "set", subnet, "--domain", f"{subnet}.example")
    world.control.write("/run/dns", SERVER, 0o755)
    server = world.control.spawn("dns", ["/run/dns"])
    try:
        world.wait_for(lambda: "serving" in server.log.read_text(), "the name server")
        yield world
    finally:
        server.kill()
        world.remove_domains()
        for subnet in ("default", "green"):
            world.ovnhook("subnet", "set", subnet, "--no-domain")


def ask(guest: Guest, name: str, server: str = "") -> str:
    """What nslookup finds, after the lines that say whom it asked."""
    return guest.console(f"nslookup {name} {server} | tail -n +4", check=False)


def finds(world: World, guest: Guest, name: str, words: str) -> None:
    """Wait until nslookup finds something: each host learns of names by itself."""
    world.wait_for(lambda: words in ask(guest, name), f"{name} to be {words}", lambda: ask(guest, name))


def test_guests_find_each_other_by_name(named: World) -> None:
    """Across hosts and subnets, with the domain and without, and back; a stopped one too, an undefined one not."""
    one = named.boot(named.hv1, "Web_1", interface_xml(), metadata="<ovn:interface address='10.10.0.21'/>")
    asks = "<ovn:interface subnet='green' address='10.20.0.22' hostname='db'/>"
    other = named.boot(named.hv2, "other", interface_xml(), metadata=asks)
    assert one.wait_address() == "10.10.0.21"
    assert other.wait_address() == "10.20.0.22"
    for name in ("db.", "db.green.example"):  # with the dot: this nslookup tries no name without its own domain
        finds(named, one, name, "10.20.0.22")
    for name in ("web-1.", "web-1.default.example"):
        finds(named, other, name, "10.10.0.21")
    finds(named, one, "10.20.0.22", "name = db.green.example")
    one.reach("db.green.example")
    named.destroy(named.hv2, "other")
    finds(named, one, "db.", "10.20.0.22")
    named.remove_domains()
    named.wait_for(lambda: not named.leases(), "the leases to be gone", named.leases)
    last = named.boot(named.hv1, "last", interface_xml())
    last.wait_address()
    named.wait_for(lambda: "10.20.0.22" not in ask(last, "db.green.example"), "the name to be gone")


def test_other_names_go_to_the_name_server_of_the_host(named: World) -> None:
    """Which never hears of a guest's; without a router, too. Those of guests need neither control service nor agent."""
    guest = named.boot(named.hv1, "asks", interface_xml())
    address = guest.wait_address()
    finds(named, guest, "www.example.org", "192.0.2.53")
    finds(named, guest, "asks.default.example", address)
    assert ask(guest, "asks.default.example").count("Address") == ask(guest, "asks.default.example").count(address) == 1
    named.hv1.daemon("agent").stop()
    named.control.daemon("control").stop()
    try:
        assert address in ask(guest, "asks.default.example")
        assert "192.0.2.53" in ask(guest, "www.example.org")
    finally:
        named.make_whole()


def test_a_server_of_the_subnets_own(world: World) -> None:
    """Guests ask it for everything, instead of the resolver."""
    set_external_gateway(world)
    world.ovnhook("subnet", "set", "default", "--dns", OUTSIDE)
    outside = world.cloud.outside
    outside.write("/run/dns", SERVER, 0o755)
    server = outside.spawn("dns", ["/run/dns"])
    try:
        world.wait_for(lambda: "serving" in server.log.read_text(), "the name server")
        guest = world.boot(world.hv1, "asks", interface_xml())
        guest.wait_address()
        finds(world, guest, "www.example.org", "192.0.2.53")
        assert "NXDOMAIN" in ask(guest, "asks.")
        assert "nameserver 10.10.0.2" not in guest.console("cat /etc/resolv.conf")
    finally:
        server.kill()
        world.remove_domains()
        world.ovnhook("subnet", "set", "default", "--no-dns")
        world.ovnhook("router", "set", "gateway", "--no-external", "--force")


def test_a_name_that_is_taken(named: World) -> None:
    """The second domain is told who has it, and leaves nothing; with another name it starts."""
    named.define(named.hv1, "first", interface_xml(), metadata="<ovn:interface hostname='db'/>", dhcp="none")
    named.start(named.hv1, "first")
    mac = named.mac(named.hv1, "first")
    named.define(named.hv2, "second", interface_xml(), metadata="<ovn:interface hostname='db'/>", dhcp="none")
    before = named.state()
    said = named.refused(named.hv2, "second")
    assert (
        f"host name 'db' of subnet default is that of domain first on hv1 ({named.leases('first')[mac]}, {mac})" in said
    )
    assert named.state() == before
    named.define(named.hv2, "third", interface_xml(), metadata="<ovn:interface hostname='db2'/>", dhcp="none")
    named.start(named.hv2, "third")


def test_guests_find_each_other_without_any_setting(world: World) -> None:
    """They ask the resolver of their subnet."""
    one = world.boot(world.hv1, "one", interface_xml())
    two = world.boot(world.hv2, "two", interface_xml(), metadata="<ovn:interface subnet='green'/>")
    address = two.wait_address()
    one.wait_address()
    finds(world, one, "two", address)
    assert "nameserver 10.10.0.2" in one.console("cat /etc/resolv.conf")
