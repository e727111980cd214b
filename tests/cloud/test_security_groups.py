"""Security groups by packets: between hosts and subnets, by IPv4 and IPv6, and of a guest of libvirt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from lab.domain import interface_xml
from lab.waiting import HANG
from tests.cloud.boxes import Box, box
from tests.cloud.world import World

GROUPS = ("web", "clients")
SUBNETS = {"both": ("10.71.0.0/24", "fd00:71::/64"), "far": ("10.72.0.0/24", "fd00:72::/64")}
RESOLVERS = ("10.71.0.2", "fd00:71::2")


@dataclass(frozen=True)
class Boxes:
    """Three boxes, each of which serves the ports 80 and 81.

    Attributes:
        server: on hv1, in group web.
        near: on its subnet, on the other host, in no group.
        far: on another subnet, in both groups.
    """

    world: World
    server: Box
    near: Box
    far: Box

    def change(self, *arguments: str) -> None:
        """Change a group, and wait until all hosts have the change."""
        self.world.ovnhook("security-group", *arguments)
        self.world.control.run(["ovn-nbctl", "--wait=hv", "sync"])


@pytest.fixture(scope="module")
def session_boxes(session_world: World) -> Iterator[Boxes]:
    """Subnets with IPv4 and IPv6, and two groups."""
    world = session_world
    for group in GROUPS:
        world.ovnhook("security-group", "create", group)
    for name, (cidr, cidr6) in SUBNETS.items():
        world.ovnhook("subnet", "create", name, cidr, "--cidr6", cidr6, "--domain", f"{name}.example")
    with ExitStack() as stack:
        server = stack.enter_context(box(world, world.hv1, "server", "--subnet", "both", "--security-group", "web"))
        near = stack.enter_context(box(world, world.hv2, "near", "--subnet", "both"))
        both = (option for group in GROUPS for option in ("--security-group", group))
        far = stack.enter_context(box(world, world.hv2, "far", "--subnet", "far", *both))
        for one in (server, near, far):
            stack.callback(one.serve(80, 81).kill)
        yield Boxes(world, server, near, far)
    world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
    for name in SUBNETS:
        world.ovnhook("subnet", "delete", name)
    for group in GROUPS:
        world.ovnhook("security-group", "delete", group)


@pytest.fixture
def boxes(session_boxes: Boxes) -> Iterator[Boxes]:
    """The boxes, with groups that have no rules."""
    yield session_boxes
    world = session_boxes.world
    for group in GROUPS:
        for rule in json.loads(world.ovnhook("security-group", "show", group, "--format", "json"))["rules"]:
            world.ovnhook("security-group", "remove", group, str(rule["number"]))
        session_boxes.change("set", group, "--outbound", "allow")


def test_rules(boxes: Boxes) -> None:
    """Deny by default; ports, sources, both IP versions, two groups, deny above allow; replies."""
    server, near, far = boxes.server, boxes.near, boxes.far
    four, six = server.address, server.address6
    server.connect((near.address, 80), (near.address6, 80))
    far.connect((near.address, 80), (near.address6, 80))
    assert near.connected((four, 80), (six, 80)) == far.connected((four, 80), (six, 80)) == []
    assert not near.answers(four)
    assert server.connected((far.address, 80), (far.address6, 80)) == []

    boxes.change("allow", "web", "--from", "any", "--tcp", "80")
    near.connect((four, 80), (six, 80))
    far.connect((four, 80), (six, 80))
    server.connect((far.address, 80))  # one of its two groups allows it
    assert near.connected((four, 81), (six, 81)) == []

    boxes.change("allow", "web", "--from", "group:clients", "--tcp", "79,81-90")
    boxes.change("allow", "web", "--from", near.address, "--icmp")
    far.connect((four, 81), (six, 81))
    near.reach(four)
    assert near.connected((four, 81), (six, 81)) == []
    assert not far.answers(four)
    assert not near.answers(six)

    boxes.change("deny", "web", "--from", SUBNETS["far"][0])
    assert far.connected((four, 80)) == []
    far.connect((six, 80))
    near.connect((four, 80))


def test_open_connections(boxes: Boxes) -> None:
    """A rule that is removed stops them, one that comes back revives them."""
    address = boxes.server.address
    boxes.change("allow", "web", "--from", "any", "--tcp", "80")
    talk = boxes.near.talk(address, 80)

    def answers() -> int:
        return len(talk.log.read_text().splitlines())

    try:
        boxes.world.wait_for(lambda: answers() > 3, "answers", talk.log.read_text)
        boxes.change("remove", "web", "allow from any tcp 80")
        before = answers() + 1  # one may be on its way
        assert boxes.near.connected((address, 80)) == []
        assert answers() <= before
        boxes.change("allow", "web", "--from", "any", "--tcp", "80")
        boxes.world.wait_for(lambda: answers() > before + 1, "answers again", talk.log.read_text)
    finally:
        talk.kill()


def test_services_with_everything_denied(boxes: Boxes) -> None:
    """DHCP, ND and the subnet's DNS work; the box may reply, and can't open connections, nor ping its gateway."""
    server, near = boxes.server, boxes.near
    boxes.change("set", "web", "--outbound", "deny")
    boxes.change("allow", "web", "--from", "any", "--tcp", "80")
    near.connect((server.address, 80), (server.address6, 80))
    assert server.connected((near.address, 80), (near.address6, 80)) == []
    assert not server.answers("10.71.0.1")
    assert f"lease of {server.address} obtained" in server.renew()
    for resolver in RESOLVERS:
        (found,) = server.ask(resolver, "near.both.example/A")
        assert found["answers"] == [near.address]


def test_packets_from_port_53(boxes: Boxes) -> None:
    """They are dropped like others: OVN with DNS records on the switch would let them pass (CVE-2025-0650)."""
    log = boxes.server.host.logs / "server-serves.log"

    def passes(source: int) -> bool:
        boxes.near.send(boxes.server.address, 81, source, f"from {source}")
        return f"from {source}" in log.read_text()

    boxes.change("allow", "web", "--from", "any", "--udp", "81")
    boxes.world.wait_for(lambda: passes(1053), "a packet that a rule allows", log.read_text)
    boxes.change("remove", "web", "allow from any udp 81")
    for source in (53, 54):
        for _ in range(3):
            boxes.near.send(boxes.server.address, 81, source, f"from {source}")
    boxes.change("allow", "web", "--from", "any", "--udp", "81")
    boxes.world.wait_for(lambda: passes(1054), "a packet after the rule came back", log.read_text)
    assert {*log.read_text().splitlines()} == {"serves", "from 1053", "from 1054"}


def test_groups_of_a_subnet(boxes: Boxes) -> None:
    """They apply to running ports that name none, and are taken from them, at once."""
    world, near, server = boxes.world, boxes.near, boxes.server
    try:
        world.ovnhook("subnet", "set", "both", "--security-group", "web")
        world.control.run(["ovn-nbctl", "--wait=hv", "sync"])
        assert server.connected((near.address, 80), (near.address6, 80)) == []
        near.connect((near.address, 80))
    finally:
        world.ovnhook("subnet", "set", "both", "--no-security-group")
    server.connect((near.address, 80), (near.address6, 80))


def test_a_guest_of_libvirt(boxes: Boxes) -> None:
    """Its metadata names groups: unknown ones refuse the start; changes apply to it while it runs.

    It boots with both directions denied, and becomes a source of rules with its start.
    """
    world, near, server = boxes.world, boxes.near, boxes.server
    metadata = "<ovn:interface subnet='both' security-groups='{}'/>"
    boxes.change("allow", "web", "--from", "group:clients", "--tcp", "81")
    world.define(world.hv2, "guest", interface_xml(), metadata=metadata.format("clients nix"))
    assert "there is no security group 'nix'" in world.refused(world.hv2, "guest")
    assert not world.ports("guest")
    world.hv2.run(["virsh", "undefine", "guest"])
    boxes.change("set", "clients", "--outbound", "deny")
    try:
        guest = world.boot(world.hv2, "guest", interface_xml(), metadata=metadata.format("clients"))
        address, address6 = guest.wait_address(), guest.wait_address(family=6)
        assert "near.both.example" in guest.console("nslookup near.both.example")
        assert not near.answers(address)
        assert not near.answers(address6)
        connect = f"nc -w {{}} {server.address} 81 </dev/null"
        assert guest.execute(connect.format(2))[0] != 0
        boxes.change("set", "clients", "--outbound", "allow")
        guest.console(connect.format(int(HANG)))
        xml = "<domain><interface subnet='both' security-groups=''/></domain>"
        live = ("--key", "ovn", "--set", xml, "--live", "--config")
        world.hv2.run(["virsh", "metadata", "guest", "urn:ovnhook:domain:1", *live])
        near.reach(address)
        near.reach(address6)
        assert guest.execute(connect.format(2))[0] != 0
        assert world.hv2.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    finally:
        world.remove_domains()


def test_connections_after_a_migration(boxes: Boxes) -> None:
    """The host tracks none of them yet: a peer may go on with one that the port has opened, then and later."""
    world, server, near = boxes.world, boxes.server, boxes.near
    feeds = near.feed(8000)
    receives = server.receive(near.address, 8000)

    def parts() -> int:
        return len(feeds.log.read_text().splitlines())

    def goes_on() -> None:
        before = parts()
        world.wait_for(lambda: parts() > before + 20, "the connection to go on", parts)

    def set_arrivals(verb: str) -> None:
        (row,) = world.ports("server")
        world.control.run(["ovn-nbctl", verb, "Port_Group", "ovnhook_arrivals", "ports", row["_uuid"][1]])
        world.control.run(["ovn-nbctl", "--wait=hv", "sync"])

    try:
        goes_on()
        feeds.pause()
        world.wait_for(lambda: near.unsent(8000) == "0", "all to be received")
        set_arrivals("add")
        server.host.run(["ovs-appctl", "dpctl/flush-conntrack"])
        feeds.resume()
        goes_on()
        set_arrivals("remove")
        goes_on()
    finally:
        receives.kill()
        feeds.kill()
