"""A wrong configuration fails `virsh start` with one line that says what is wrong, and leaves everything as it was."""

from __future__ import annotations

import pytest

from lab import LabHost
from lab.domain import interface_xml
from tests.cloud.world import World

MAC = "52:54:00:bb:00:01"
OTHER = "52:54:00:bb:00:02"
FOREIGN = f"<interface type='bridge'><mac address='{OTHER}'/><source bridge='br-foreign'/></interface>"


def _metadata(element: str, version: str = "1") -> str:
    return f"<ovn:domain xmlns:ovn='urn:ovnhook:domain:{version}'>{element}</ovn:domain>"


# name: (what stands in the metadata, what the message has to say besides the domain's name)
METADATA = {
    "unknown-attribute": ("<ovn:interface vlan='3'/>", ["'vlan'"]),
    "unknown-element": ("<ovn:bridge/>", ["<bridge>"]),
    "unknown-child": ("<ovn:interface><ovn:route/></ovn:interface>", ["<route>"]),
    "no-such-subnet": ("<ovn:interface subnet='blau'/>", [MAC, "'blau'"]),
    "bad-subnet": ("<ovn:interface subnet='a b'/>", ["'a b'"]),
    "bad-isolated": ("<ovn:interface isolated='maybe'/>", ["'maybe'"]),
    "isolated-and-subnet": ("<ovn:interface isolated='yes' subnet='green'/>", ["green", "isolated"]),
    "bad-address": ("<ovn:interface address='10.10.0'/>", ["'10.10.0'"]),
    "two-addresses": ("<ovn:interface address='10.10.0.8 10.10.0.9'/>", ["'10.10.0.8 10.10.0.9'"]),
    "empty-address": ("<ovn:interface address=''/>", ["''"]),
    "address-outside": ("<ovn:interface address='10.99.0.9'/>", [MAC, "10.99.0.9", "10.10.0.0/24"]),
    "address-network": ("<ovn:interface address='10.10.0.0'/>", [MAC, "10.10.0.0"]),
    "address-broadcast": ("<ovn:interface address='10.10.0.255'/>", [MAC, "10.10.0.255"]),
    "address-gateway": ("<ovn:interface address='10.10.0.1'/>", [MAC, "10.10.0.1", "gateway"]),
    "address-ipv6": ("<ovn:interface address='fd00::9'/>", [MAC, "fd00::9", "IPv6"]),
    "bad-hostname": ("<ovn:interface hostname='a_b'/>", ["'a_b'"]),
    "bad-mac": ("<ovn:interface mac='52:54:00'/>", ["'52:54:00'"]),
    "no-such-mac": ("<ovn:interface mac='52:54:00:ff:ff:ff'/>", ["'52:54:00:ff:ff:ff'"]),
    "bad-index": ("<ovn:interface index='one'/>", ["'one'"]),
    "no-such-index": ("<ovn:interface index='1'/>", ["'1'", "the last interface has index 0"]),
    "mac-and-index": (f"<ovn:interface mac='{MAC}' index='0'/>", [MAC, "index='0'"]),
    "two-for-one": (f"<ovn:interface mac='{MAC}'/><ovn:interface index='0'/>", [MAC, "two"]),
    "two-for-others": ("<ovn:interface/><ovn:interface/>", ["two"]),
}


@pytest.mark.parametrize("name", METADATA)
def test_wrong_metadata(world: World, name: str) -> None:
    """Each value that has no meaning, and each that has one and can't be."""
    element, said = METADATA[name]
    world.define(world.hv1, name, interface_xml(MAC), metadata=_metadata(element))
    _refused(world, name, said)


def test_unknown_version_of_the_namespace(world: World) -> None:
    """Metadata of a later version is not guessed at."""
    world.define(world.hv1, "version", interface_xml(MAC), metadata=_metadata("<ovn:interface/>", version="2"))
    _refused(world, "version", ["urn:ovnhook:domain:2"])


def test_metadata_for_an_interface_that_is_not_ours(world: World) -> None:
    """An interface on another bridge can't have a subnet."""
    world.define(
        world.hv1, "not-ours", interface_xml(MAC), FOREIGN, metadata=_metadata(f"<ovn:interface mac='{OTHER}'/>")
    )
    _refused(world, "not-ours", [OTHER, "br-int"])


def test_one_address_for_two_interfaces(world: World) -> None:
    """An element for all interfaces with an address is right for one interface only."""
    interfaces = [interface_xml(MAC), interface_xml(OTHER)]
    world.define(world.hv1, "twice", *interfaces, metadata=_metadata("<ovn:interface address='10.10.0.30'/>"))
    _refused(world, "twice", [OTHER, "10.10.0.30"])


def test_two_interfaces_with_one_mac(world: World) -> None:
    """Ports are known by domain and MAC."""
    world.define(world.hv1, "same-mac", interface_xml(MAC), interface_xml(MAC))
    _refused(world, "same-mac", [MAC])


def test_portgroup_without_a_subnet(world: World) -> None:
    """It shows only at `start`, when `prepare` has attached the other interface already: that is taken back."""
    network = "<network><name>groups</name><forward mode='bridge'/><bridge name='br-int'/>"
    network += "<virtualport type='openvswitch'/><portgroup name='nowhere'/></network>"
    world.hv1.run(["virsh", "net-define", "/dev/stdin"], input=network)
    world.hv1.run(["virsh", "net-start", "groups"])
    interface = (
        f"<interface type='network'><mac address='{MAC}'/><source network='groups' portgroup='nowhere'/></interface>"
    )
    world.define(world.hv1, "portgroup", interface_xml(OTHER), interface)
    _refused(world, "portgroup", [MAC, "'nowhere'", "'groups'"])


def test_taken_address(world: World) -> None:
    """Another domain's lease is respected, also while that domain is off; the message says whose it is."""
    asks = "<ovn:interface address='10.10.0.40'/>"
    world.boot(world.hv2, "owner", interface_xml(), metadata=asks)
    world.define(world.hv1, "taker", interface_xml(MAC), metadata=asks)
    _refused(world, "taker", [MAC, "10.10.0.40", "owner"])
    world.destroy(world.hv2, "owner")
    _refused(world, "taker", [MAC, "10.10.0.40", "owner"])


def test_copied_interfaceid(world: World) -> None:
    """virt-clone copies the interfaceid; it belongs to the domain that runs with it."""
    identity = "6c8bd4a5-0d2b-4b52-8fb2-77d2b2f7c0de"
    guest = world.boot(world.hv1, "original", interface_xml(interface_id=identity))
    address = guest.wait_address()
    world.define(world.hv2, "clone", interface_xml(MAC, interface_id=identity))
    before = world.state()
    line = world.refused(world.hv2, "clone")
    assert all(word in line for word in ("clone", MAC, identity, "original", "hv1")), line
    assert world.state() == before
    assert guest.wait_address() == address


def test_full_subnet(world: World) -> None:
    """A subnet with two addresses takes two guests."""
    world.ovnhook("subnet", "create", "tiny", "10.40.0.0/29", "--range", "10.40.0.2-10.40.0.3")
    for name in ("first", "second"):
        world.boot(world.hv1, name, interface_xml(), metadata="<ovn:interface subnet='tiny'/>")
    world.define(world.hv1, "third", interface_xml(MAC), metadata="<ovn:interface subnet='tiny'/>")
    _refused(world, "third", [MAC, "tiny", "full"])
    world.remove_domains()
    world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
    world.ovnhook("subnet", "delete", "tiny")


BRIDGE = f"<interface type='bridge'><mac address='{MAC}'/><source bridge='br-int'/>%s<model type='virtio'/></interface>"
NETWORK = (
    f"<interface type='network'><mac address='{MAC}'/><source network='ovsnet'%s/><model type='virtio'/></interface>"
)
VIRTUALPORT = "<virtualport type='openvswitch'/>"

# name: (the interface, what its libvirt network has beside the bridge, what the message has to say)
UNFIT = {
    "bare": (BRIDGE % "", "", ["without <virtualport type='openvswitch'/>"]),
    "bare-network": (NETWORK % "", "", ["without <virtualport type='openvswitch'/>", "virsh net-edit ovsnet"]),
    "vlan": (BRIDGE % f"<vlan><tag id='42'/></vlan>{VIRTUALPORT}", "", ["<vlan> (tag 42)", "subnet='NAME'"]),
    "vlan-of-network": (NETWORK % "", f"<vlan><tag id='5'/></vlan>{VIRTUALPORT}", ["<vlan> (tag 5)", "ovsnet"]),
    "mtu": (BRIDGE % f"{VIRTUALPORT}<mtu size='1500'/>", "", ["<mtu size='1500'/>", "<mtu size='1442'/>"]),
    "portgroup": (NETWORK % " portgroup='prod:web'", f"{VIRTUALPORT}<portgroup name='prod:web'/>", ["'prod:web'"]),
    "default-portgroup": (NETWORK % "", f"{VIRTUALPORT}<portgroup name='red' default='yes'/>", ["portgroup 'red'"]),
}


@pytest.mark.parametrize("name", UNFIT)
def test_xml_that_asks_for_what_no_port_can_give(world: World, name: str) -> None:
    """Libvirt itself would start it in the wrong network, or say nothing that helps."""
    interface, more, said = UNFIT[name]
    _make_network(world, more)
    world.define(world.hv1, name, interface)
    _refused(world, name, [MAC, *said])


def test_default_portgroup(world: World) -> None:
    """It is the subnet of an interface that names none, here where the agent works and there where the hook does."""
    for host, agent_works in ((world.hv1, True), (world.hv2, False)):
        _make_network(world, f"{VIRTUALPORT}<portgroup name='green' default='yes'/><portgroup name='default'/>", host)
        if not agent_works:
            host.daemon("agent").stop()
        name = f"group-{host.name}"
        other = NETWORK.replace(MAC, OTHER) % " portgroup='default'"
        world.boot(host, name, NETWORK % "", other)
        subnets = {
            one["external_ids"]["ovnhook:mac"]: one["external_ids"]["ovnhook:subnet"] for one in world.ports(name)
        }
        assert subnets == {MAC: "green", OTHER: "default"}
        world.destroy(host, name)


def test_two_domains_with_one_mac(world: World) -> None:
    """The second one is refused, and told whose it is; not in another subnet, and not while the first one is off."""
    first = world.boot(world.hv1, "template-a", interface_xml(MAC))
    address = first.wait_address()
    world.define(world.hv2, "template-b", interface_xml(MAC))
    line = world.refused(world.hv2, "template-b")
    assert all(word in line for word in ("template-b", MAC, "template-a", "hv1")), line
    other = world.boot(world.hv2, "template-c", interface_xml(MAC), metadata="<ovn:interface subnet='green'/>")
    assert other.wait_address().startswith("10.20.0.")
    world.destroy(world.hv2, "template-c")
    witness = world.boot(world.hv2, "witness", interface_xml(OTHER))
    witness.wait_address()
    assert witness.ping(address, count=10).lost == 0
    world.destroy(world.hv1, "template-a")
    second = world.start(world.hv2, "template-b")
    assert witness.ping(second.wait_address(), count=10).lost == 0


def test_one_name_on_two_hosts(world: World) -> None:
    """Both start; the second one's host name is made unique."""
    for host, mac in ((world.hv1, MAC), (world.hv2, OTHER)):
        world.boot(host, "debian12", interface_xml(mac)).wait_address()
    assert len(world.leases("debian12")) == 2
    ids = [dict(row["external_ids"][1]) for row in world.rows("DNS").values()]
    hostnames = {one["ovnhook:hostname"] for one in ids if one.get("ovnhook:kind") == "lease"}
    assert len(hostnames) == 2
    assert "debian12" in hostnames


def _make_network(world: World, more: str, host: LabHost | None = None) -> None:
    """A libvirt network on the integration bridge."""
    host = host or world.hv1
    network = f"<network><name>ovsnet</name><forward mode='bridge'/><bridge name='br-int'/>{more}</network>"
    host.run(["virsh", "net-define", "/dev/stdin"], input=network)
    host.run(["virsh", "net-start", "ovsnet"])


def _refused(world: World, name: str, said: list[str]) -> None:
    """The start fails with one line that has all these words, twice, and changes nothing."""
    before = world.state()
    for _ in range(2):
        line = world.refused(world.hv1, name)
        assert line.startswith(f"ovnhook: error: domain {name}: ") or f"ovnhook: error: domain {name}: " in line
        assert all(word in line for word in said), line
        assert world.state() == before
