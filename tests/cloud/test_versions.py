"""Two versions on one database: agent, hook and control service of hv1 are the previous version's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from lab import Guest, LabCloud, LabHost
from lab.cloud import REPO
from lab.domain import interface_xml
from lab.hypervisor import HOOK, install_hook
from lab.product import PYTHON, make_python
from lab.waiting import HANG
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME
from tests.cloud.external import ADDRESS, FLOATING, OUTSIDE
from tests.cloud.interfaces import MACS, address, device
from tests.cloud.migration import migrate, settled
from tests.cloud.settings import REFUSING, SHORT, changed_settings
from tests.cloud.world import World
from tests.versions import PREVIOUS, unpack

EARLIER = "host hv1: its agent, 0.1.0, is an earlier version, which does not use the API"
RECORDS = "OVN answers the guests' DNS queries"
"""As long as there is an agent of an earlier version."""

SUBNETS = {"default": "10.10.0.0/24", "green": "10.20.0.0/24"}

AN_HOUR_LATER = f"""
import time
from ovnhook.base.deadline import Deadline
from ovnhook.control.dnsupgrade import DnsUpgrade
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
databases = Northbound("unix:/run/ovn/ovnnb_db.sock"), Southbound("unix:/run/ovn/ovnsb_db.sock")
DnsUpgrade(*databases, clock=lambda: time.time() + {DHCP_LEASE_TIME}).upgrade(Deadline.after({HANG}))
"""
"""A step of the upgrade of DNS, by a clock that is ahead."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud with a control service of each version; the older one makes a subnet, and the newer one another."""
    tree = unpack(PREVIOUS, tmp_path_factory.mktemp("previous"))
    with LabCloud(f"v{os.getpid()}", controls=("control", "hv1"), trees={"hv1": tree}) as cloud:
        world = World(cloud)
        world.set_long_deadline()
        world.hv1.run(["ovnhook", "subnet", "create", "default", SUBNETS["default"], "--default"])
        world.ovnhook("subnet", "create", "green", SUBNETS["green"], "--cidr6", "fd00:20::/64")
        yield world


@pytest.fixture
def world(mixed: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The cloud without a domain; afterwards nothing is left, and neither version finds anything wrong."""
    yield mixed
    if request.session.testsfailed:
        print(mixed.cloud.logs())
    mixed.make_whole()
    mixed.remove_domains()
    mixed.wait_for(lambda: not mixed.left_over(), "nothing to be left over", mixed.left_over)
    assert_well(mixed)


def assert_well(world: World) -> None:
    """Wait until the control services find nothing wrong but the earlier version, and the agents nothing at all."""
    for host, known in ((world.control, [EARLIER]), (world.hv1, [])):
        world.wait_for(
            lambda: problems(host) == known,  # noqa: B023
            f"all to be well for {host.name}",
            lambda: host.run(["ovnhook", "status"], check=False).stdout,  # noqa: B023
        )
    for host in (world.hv1, world.hv2):
        assert host.run(["ovnhook", "check"]).stdout == "nothing differs\n"


def problems(host: LabHost) -> list[str] | None:
    """What a host's control service finds wrong; None if it does not answer."""
    said = host.run(["ovnhook", "status"], check=False).stdout
    found = [line.removeprefix("problem: ") for line in said.splitlines() if line.startswith("problem: ")]
    found = [one for one in found if RECORDS not in one]
    return found if "DATABASE" in said else None


def listed(host: LabHost, noun: str, key: str) -> list[str]:
    """What a host's control service and command list."""
    return sorted(one[key] for one in json.loads(host.run(["ovnhook", noun, "list", "--format", "json"]).stdout))


def test_each_host_runs_its_version(mixed: World) -> None:
    """What follows would hold of one version alone."""
    modules = {host.name: host.run(["ls", str(host.folder / "python" / "ovnhook")]).stdout for host in both(mixed)}
    assert "attachment.py" in modules["hv1"]
    assert "attachment.py" not in modules["control"]
    old, new = (host.read(HOOK) for host in mixed.cloud.hypervisors)
    assert old != new


def both(world: World) -> tuple[LabHost, LabHost]:
    """The hosts with a control service, the one of the previous version first."""
    return world.hv1, world.control


@pytest.mark.parametrize("order", [1, -1], ids=["previous first", "present first"])
def test_subnets_and_routers(world: World, order: int) -> None:
    """What one control service makes the other one shows, changes and deletes."""
    one, other = both(world)[::order]
    one.run(["ovnhook", "subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64", "--dns", "192.0.2.53"])
    one.run(["ovnhook", "subnet", "create", "lone", "10.2.0.0/24", "--isolated"])
    one.run(["ovnhook", "router", "create", "second"])
    for host in both(world):
        assert listed(host, "subnet", "name") == sorted([*SUBNETS, "blue", "lone"])
        assert listed(host, "router", "name") == ["gateway", "second"]
    other.run(["ovnhook", "subnet", "set", "blue", "--range", "10.1.0.10-10.1.0.99", "--router", "second"])
    external = ["--physical-network", "external", "--address", f"{ADDRESS}/24", "--next-hop", OUTSIDE]
    other.run(["ovnhook", "router", "set", "second", *external])
    one.run(["ovnhook", "subnet", "set", "lone", "--mtu", "1300"])
    shown = [json.loads(host.run(["ovnhook", "subnet", "list", "--format", "json"]).stdout) for host in both(world)]
    for rows in shown:
        (blue,) = (row for row in rows if row["name"] == "blue")
        assert (blue["router"], blue["dns"]) == ("second", ["192.0.2.53"])
    one.run(["ovnhook", "router", "set", "second", "--no-external"])
    other.run(["ovnhook", "subnet", "delete", "blue"])
    one.run(["ovnhook", "router", "delete", "second"])
    other.run(["ovnhook", "subnet", "delete", "lone"])


def test_guests_of_both_hosts(world: World) -> None:
    """They start, reach each other, get a further interface, and move to the other version and back."""
    names = {"old": world.hv1, "new": world.hv2}
    guests = {
        name: world.boot(host, name, interface_xml(MACS[number]), spare_slots=4)
        for number, (name, host) in enumerate(names.items())
    }
    addresses = {name: guest.wait_address() for name, guest in guests.items()}
    guests["old"].reach(addresses["new"])
    guests["new"].reach(addresses["old"])
    for number, (name, host) in enumerate(names.items(), start=2):
        mac = MACS[number]
        metadata = f"<domain><interface mac='{mac}' subnet='green' hostname='{name}-green'/></domain>"
        describe = ["virsh", "metadata", name, "urn:ovnhook:domain:1", "--key", "ovn", "--set", metadata]
        host.run([*describe, "--live", "--config"])
        device(host, "attach-device", name, interface_xml(mac), "--live", "--config")
        world.wait_for(lambda: mac in world.leases(name), "the lease")  # noqa: B023
        assert address(world, guests[name], mac).startswith("10.20.0.")
    for name, home in names.items():
        (away,) = (host for host in world.cloud.hypervisors if host is not home)
        (other,) = addresses.keys() - {name}
        leases = world.leases(name)
        for source, target in ((home, away), (away, home)):
            migrate(world, name, source, target)
            settled(world, name, target)
            Guest(target, name).reach(addresses[other])
            assert world.leases(name) == leases
    for number, (name, host) in enumerate(names.items(), start=2):
        mac = MACS[number]
        device(host, "detach-device", name, interface_xml(mac), "--live", "--config")
        world.wait_for(lambda: mac not in world.leases(name), "the lease to be gone")  # noqa: B023
        world.destroy(host, name)
    assert not world.ports()
    assert {*world.leases().values()} == {*addresses.values()}


@pytest.mark.parametrize("agent", ["agent", "agent away"])
def test_a_hook_of_the_previous_version(world: World, agent: str) -> None:
    """It is a conffile, and may stay when the package is upgraded: the agent answers it, or it does the work itself."""
    hv2 = world.hv2
    install_hook(hv2, world.cloud.tree("hv1") / "hooks" / "qemu")
    try:
        if agent == "agent away":
            hv2.daemon("agent").stop()
        guest = world.boot(hv2, "kept", interface_xml())
        where = guest.wait_address()
        assert [*world.leases("kept").values()] == [where]
        world.destroy(hv2, "kept")
        assert not world.ports()
    finally:
        install_hook(hv2, world.cloud.tree("hv2") / "hooks" / "qemu")
        hv2.daemon("agent").start()


def test_an_agent_with_control_services_of_the_previous_version_only(world: World) -> None:
    """It says what to upgrade; the domain gets its network once there is one of the present version."""
    world.define(world.hv2, "early", interface_xml())
    with changed_settings(world.hv2, deadline=SHORT, more=REFUSING):
        world.control.daemon("control").stop()
        line = world.refused(world.hv2, "early")
        assert "172.31.0.11:6645 does not implement this method: it is another version" in line
        assert "upgrade the control hosts first" in line
    with changed_settings(world.hv2, deadline=SHORT):
        world.start(world.hv2, "early")
        assert not world.ports()
        world.control.daemon("control").start()
        world.wait_for(world.ports, "the port to be made")
        assert [*world.leases().values()] == [world.cloud.guest("early").wait_address()]


def test_an_address_outside(world: World) -> None:
    """A floating IP that one version makes leads to a guest on the other one's host, and back is the other's work."""
    external = ["--physical-network", "external", "--address", f"{ADDRESS}/24", "--next-hop", OUTSIDE]
    hosts = dict(zip(("old", "new"), world.cloud.hypervisors, strict=True))
    for one, other, name in ((*both(world), "new"), (*both(world)[::-1], "old")):
        one.run(["ovnhook", "router", "set", "gateway", *external])
        guest = world.boot(hosts[name], name, interface_xml())
        guest.wait_address()
        # If the previous version set the gateway, this one corrects the routes of guests afterwards.
        world.wait_for(lambda: renewed(guest).ping(OUTSIDE).received, "an answer from outside")  # noqa: B023
        one.run(["ovnhook", "floating-ip", "create", FLOATING, name])
        ping = ["busybox", "ping", "-c", "1", "-w", "2", FLOATING]
        world.wait_for(lambda: world.cloud.outside.run(ping, check=False).returncode == 0, "an answer")  # noqa: B023
        assert_well(world)
        assert [listed(host, "floating-ip", "address") for host in both(world)] == [[FLOATING]] * 2
        other.run(["ovnhook", "floating-ip", "delete", FLOATING])
        other.run(["ovnhook", "router", "set", "gateway", "--no-external", "--force"])


def renewed(guest: Guest) -> Guest:
    """A guest that renews its DHCP lease."""
    guest.console("killall -USR1 udhcpc")
    return guest


def test_isolated_guests(world: World) -> None:
    """A subnet of a domain's own is made and ended by the agent of its host; a move changes nothing of it."""
    for name, home, away in (("old", world.hv1, world.hv2), ("new", world.hv2, world.hv1)):
        guest = world.boot(home, name, interface_xml(), metadata="<ovn:interface isolated='yes'/>")
        where = guest.wait_address()
        migrate(world, name, home, away)
        settled(world, name, away)
        assert [*world.leases(name).values()] == [where]
        world.destroy(away, name)
        for host in world.cloud.hypervisors:
            host.run(["virsh", "undefine", name], check=False)
        world.wait_for(lambda: listed(world.control, "subnet", "name") == [*SUBNETS], "the subnet to be gone")


def test_names_while_the_last_host_is_upgraded(mixed: World) -> None:
    """The control service first, then the agent: at each step a guest that runs resolves a name."""
    address = mixed.boot(mixed.hv2, "asked", interface_xml()).wait_address()
    guest = mixed.boot(mixed.hv1, "asking", interface_xml())
    guest.wait_address()

    def resolves() -> bool:
        return address in guest.console("nslookup -type=a asked.", check=False)

    mixed.wait_for(resolves, "the name to be known")
    assert northbound(mixed, "Logical_Switch", "dns_records")
    control, agent = (mixed.hv1.daemon(name) for name in ("control", "agent"))
    make_python(mixed.hv1.folder / "python", REPO, [])
    control.restart()
    assert resolves()
    assert not resolvers(mixed), "an agent knows of none"
    install_hook(mixed.hv1, REPO / "hooks" / "qemu")
    agent.restart()
    assert resolves()
    mixed.wait_for(lambda: resolvers(mixed), "the subnets to have resolvers")
    assert resolves()
    (resolver,) = resolvers(mixed)["default"]
    mixed.wait_for(lambda: resolver in northbound(mixed, "DHCP_Options", "options"), "DHCP to name the resolver")
    assert resolves()
    guest.console("killall -USR1 udhcpc")
    mixed.wait_for(lambda: resolver in guest.console("cat /etc/resolv.conf"), "the guest to have renewed its lease")
    assert resolves()
    mixed.control.run([PYTHON, "-I", "-c", AN_HOUR_LATER])
    mixed.wait_for(lambda: not northbound(mixed, "Logical_Switch", "dns_records"), "the records to be gone")
    assert resolves()
    for host in both(mixed):
        mixed.wait_for(lambda: problems(host) == [], f"all to be well for {host.name}")  # noqa: B023
    assert RECORDS not in mixed.ovnhook("status")
    mixed.remove_domains()


def northbound(world: World, table: str, column: str) -> str:
    """A column of all rows."""
    return world.control.run(["ovn-nbctl", "--bare", f"--columns={column}", "list", table]).stdout.strip()


def resolvers(world: World) -> dict[str, list[str]]:
    """The addresses of the subnets' resolvers, once all subnets have one."""
    rows = json.loads(world.ovnhook("subnet", "list", "--format", "json"))
    found = {row["name"]: row["resolvers"] for row in rows}
    return found if all(found.values()) else {}
