"""Agent, databases and configuration broken in every way: libvirt goes on, and what was left undone is mended."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lab import LabHost
from lab.domain import interface_xml
from tests.cloud.settings import REFUSING, SHORT, changed_settings
from tests.cloud.world import CONFIG, World

BRIDGE = interface_xml()


def _starts(host: LabHost, name: str) -> bool:
    """Whether a start succeeds; it ends either way."""
    return host.run(["virsh", "start", name], check=False).returncode == 0


def test_agent_stopped(world: World) -> None:
    """The hook does the work itself."""
    world.hv1.daemon("agent").stop()
    guest = world.boot(world.hv1, "alone", BRIDGE)
    address = guest.wait_address()
    assert world.leases() == {world.mac(world.hv1, "alone"): address}
    world.destroy(world.hv1, "alone")
    assert world.ports() == []
    assert world.taps(world.hv1) == {}


def test_undefined_while_the_agent_was_away(world: World) -> None:
    """Nobody told the agent; it looks when it starts."""
    world.boot(world.hv1, "unseen", BRIDGE).wait_address()
    world.hv1.daemon("agent").stop()
    world.destroy(world.hv1, "unseen")
    world.hv1.run(["virsh", "undefine", "unseen"])
    assert len(world.leases()) == 1
    world.hv1.daemon("agent").start()
    world.wait_for(lambda: not world.leases(), "the lease to be gone", world.leases)


def test_agent_hung(world: World) -> None:
    """A stopped agent takes its share of the deadline; when it goes on it does nothing that is over."""
    world.define(world.hv1, "hung", BRIDGE)
    with changed_settings(world.hv1, deadline=SHORT):
        world.hv1.daemon("agent").pause()
        assert _starts(world.hv1, "hung")
        world.destroy(world.hv1, "hung")
        world.hv1.daemon("agent").resume()
        world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)
        # Another start waits for what the agent still has of this domain: whatever it could do wrong is done then.
        assert _starts(world.hv1, "hung")
        world.destroy(world.hv1, "hung")
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)


def test_agent_killed_in_mid_request(world: World) -> None:
    """Again and again, at other moments: each start works or fails, and none leaves anything behind."""
    world.define(world.hv1, "mid", BRIDGE)
    agent = world.hv1.daemon("agent")
    with changed_settings(world.hv1, more=REFUSING):
        for attempt in range(6):
            killer = threading.Timer(0.05 + 0.04 * attempt, agent.kill)
            killer.start()
            started = _starts(world.hv1, "mid")
            killer.join()
            assert len(world.ports()) == int(started)
            if started:
                world.destroy(world.hv1, "mid")
            assert world.ports() == []
            assert world.taps(world.hv1) == {}
            agent.start()


@pytest.mark.parametrize("fault", ["stop", "pause"])
@pytest.mark.parametrize("agent", ["with", "without"])
def test_northbound_away_start(world: World, fault: str, agent: str) -> None:
    """The domain starts without its network, which comes by itself when the database is back."""
    world.define(world.hv1, "early", BRIDGE, dhcp="retry")
    with changed_settings(world.hv1, deadline=SHORT):
        getattr(world.control.daemon("nb"), fault)()
        if agent == "without":
            world.hv1.daemon("agent").stop()
        assert _starts(world.hv1, "early")
        world.make_whole()
        world.wait_for(lambda: len(world.ports("early")) == 1, "the port to be made")
        guest = world.cloud.guest("early")
        assert guest.wait_address() == world.leases()[world.mac(world.hv1, "early")]


@pytest.mark.parametrize("fault", ["stop", "pause"])
def test_northbound_away_refuse(world: World, fault: str) -> None:
    """Where a domain shall not run without its network its start fails in time, and says why."""
    world.define(world.hv1, "careful", BRIDGE)
    with changed_settings(world.hv1, deadline=SHORT, more=REFUSING):
        getattr(world.control.daemon("nb"), fault)()
        for with_agent in (True, False):
            if not with_agent:
                world.hv1.daemon("agent").stop()
            done = world.hv1.run(["virsh", "start", "careful"], check=False)
            assert done.returncode != 0
            assert "domain careful: OVN_Northbound" in done.stderr
            assert world.taps(world.hv1) == {}
        world.make_whole()
    assert world.ports() == []
    assert world.leases() == {}


@pytest.mark.parametrize("fault", ["stop", "pause"])
def test_destroy_while_northbound_is_away(world: World, fault: str) -> None:
    """It does not hang, and the port is taken away later."""
    world.boot(world.hv1, "ends", BRIDGE).wait_address()
    with changed_settings(world.hv1, deadline=SHORT):
        getattr(world.control.daemon("nb"), fault)()
        world.destroy(world.hv1, "ends")
        world.make_whole()
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)
    assert len(world.leases()) == 1


def test_a_broken_hook_kills_no_guest(world: World) -> None:
    """libvirtd restarts while agent and database are away and the configuration is garbage: the guests run on."""
    guest = world.boot(world.hv1, "survivor", BRIDGE)
    other = world.boot(world.hv2, "witness", BRIDGE)
    address = other.wait_address()
    guest.wait_address()
    configuration = world.hv1.read(CONFIG)
    world.hv1.daemon("agent").stop()
    world.control.daemon("nb").stop()
    world.hv1.write(CONFIG, "northbound = [[[ garbage\n")
    try:
        world.hv1.daemon("libvirtd").restart()
        assert world.domain_state(world.hv1, "survivor") == "running"
        guest.reach(address)
        line = world.hv1.run(["virsh", "start", "survivor"], check=False).stderr
        assert "already active" in line
    finally:
        world.hv1.write(CONFIG, configuration)
    world.make_whole()
    guest.reach(address)
    assert len(world.ports("survivor")) == 1


def test_a_garbled_configuration_without_the_agent(world: World) -> None:
    """The start fails and names the file; the destroy of a domain that runs does not."""
    world.boot(world.hv1, "runs", BRIDGE)
    world.define(world.hv1, "new", BRIDGE)
    configuration = world.hv1.read(CONFIG)
    world.hv1.daemon("agent").stop()
    world.hv1.write(CONFIG, "northbund = 'tcp:192.0.2.1:6641'\n")
    try:
        line = world.refused(world.hv1, "new")
        assert CONFIG in line
        assert "'northbund'" in line
        world.destroy(world.hv1, "runs")
    finally:
        world.hv1.write(CONFIG, configuration)
    world.make_whole()
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)


def test_a_missing_dependency_without_the_agent(world: World) -> None:
    """The start fails and says what is missing; the destroy of a domain that runs does not."""
    world.boot(world.hv1, "runs", BRIDGE)
    world.define(world.hv1, "new", BRIDGE)
    world.hv1.daemon("agent").stop()
    hide = ["mount", "-t", "tmpfs", "tmpfs", "/usr/lib/python3/dist-packages/lxml"]
    world.hv1.run(hide)
    try:
        assert "lxml" in world.refused(world.hv1, "new")
        world.destroy(world.hv1, "runs")
    finally:
        world.hv1.run(["umount", "/usr/lib/python3/dist-packages/lxml"])
    world.make_whole()
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)


def test_vswitch_database_away_at_release(world: World) -> None:
    """A QEMU that crashes while Open vSwitch's database hangs: the port goes all the same."""
    world.boot(world.hv1, "crashes", BRIDGE).wait_address()
    (tap,) = world.taps(world.hv1).values()
    pid = world.hv1.read("/run/libvirt/qemu/crashes.pid").strip()
    with changed_settings(world.hv1, deadline=SHORT):
        world.hv1.daemon("ovs-db").pause()
        world.hv1.run(["kill", "-9", pid])
        world.wait_for(lambda: world.domain_state(world.hv1, "crashes") == "shut off", "the domain to be off")
        world.make_whole()
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)
    # The tap's port on the bridge is libvirt's, which has given up on it.
    find = ["ovs-vsctl", "--bare", "--columns=name", "find", "Interface", f"external_ids:iface-id={tap['iface-id']}"]
    world.hv1.run(["ovs-vsctl", "--if-exists", "del-port", world.hv1.run(find).stdout.strip()])


def test_libvirtd_restarts_again_and_again(world: World) -> None:
    """The agent finds it each time, and keeps no file of a connection that was lost open."""
    agent = world.hv1.daemon("agent")

    def connections() -> int:
        return agent.log.read_text(encoding="utf-8").count("connected to libvirt")

    opened = []
    for _ in range(4):
        before = connections()
        world.hv1.daemon("libvirtd").restart()
        world.wait_for(lambda: connections() > before, "the agent to find libvirt")  # noqa: B023
        opened.append(len(list(Path(f"/proc/{agent.pid}/fd").iterdir())))
    assert opened == opened[:1] * 4
