"""What somebody, or an accident, has changed behind our back: told by `ovnhook check`, and repaired by the agent.

DNS records are repaired by the control service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest

from lab.domain import interface_xml
from lab.errors import CommandError
from lab.waiting import HANG
from tests.cloud.interfaces import MACS
from tests.cloud.world import Row, World

STRAY = "stray.example"


def break_it(world: World) -> None:
    """Do something to each thing that is ours."""
    hv1 = world.hv1
    ports = {port["external_ids"]["ovnhook:mac"]: port["name"] for port in world.ports("drifts")}
    taps = hv1.run(["virsh", "domiflist", "drifts"]).stdout.splitlines()[2:]
    device = {line.split()[-1]: line.split()[0] for line in taps if line}
    names = ["ovn-nbctl", "--bare", "--columns=_uuid", "find", "DNS", "external_ids:ovnhook\\:kind=names"]
    row = world.control.run([*names, "external_ids:ovnhook\\:subnet=default"]).stdout.strip()
    world.control.run(
        [
            *("ovn-nbctl", "lsp-set-addresses", ports[MACS[0]], f"{MACS[0]} 10.10.0.250"),
            *("--", "lsp-set-port-security", ports[MACS[1]]),
            *("--", "lsp-del", ports[MACS[2]]),
            *("--", "remove", "DNS", row, "records", "drifts"),
            *("--", "set", "DNS", row, f"records:{STRAY}=10.10.0.251"),
        ]
    )
    hv1.run(["ovs-vsctl", "set", "Interface", device[MACS[3]], "external_ids:iface-id=wrong"])
    stale = ["attached-mac=52:54:00:00:00:99", "iface-id=gone", f"vm-id={'0' * 8}-{'0' * 4}-4000-8000-{'0' * 12}"]
    marks = [f"external_ids:{pair}" for pair in (*stale, "ovnhook\\:bound=yes")]
    hv1.run(["ovs-vsctl", "--no-wait", "add-port", "br-int", "vnet99", "--", "set", "Interface", "vnet99", *marks])


def seen(world: World) -> tuple[dict[str, Row], dict[str, str]]:
    """All rows of the northbound database, and which tap of hv1 is which port."""
    return world.rows(), {mac: tap["iface-id"] for mac, tap in world.taps(world.hv1).items()}


def test_whatever_differs_is_told_and_mended(world: World) -> None:
    """By the command when it is asked to; by the agent at its start and when a connection was lost."""
    hv1 = world.hv1
    world.boot(hv1, "drifts", *map(interface_xml, MACS[:4]), dhcp="none", spare_slots=1)
    world.boot(world.hv2, "neighbour", interface_xml(), dhcp="none")
    hv1.daemon("agent").restart()
    world.wait_for(lambda: "connected to libvirt" in hv1.daemon("agent").tail(), "the agent to look")
    sound = seen(world)
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"

    told: set[tuple[str, str]] = set()

    def all_told() -> bool:
        """Break everything, and ask before the agent has repaired it all, which may take some attempts."""
        break_it(world)
        done = hv1.run(["ovnhook", "check", "--format", "json"], check=False)
        assert done.returncode in (0, 8)
        told.update((one["interface"], one["difference"]) for one in json.loads(done.stdout))
        mended()
        return all(any(mac == where and what in said for where, said in told) for mac, what in expected)

    def mended() -> None:
        world.wait_for(lambda: seen(world) == sound, "all to be mended")

    expected = (
        (MACS[0], "has addresses 10.10.0.250"),
        (MACS[1], "columns of port"),
        (MACS[2], "it has no port"),
        (MACS[3], "is bound to wrong"),
        ("", "port vnet99"),
    )
    world.wait_for(all_told, "all to be told", lambda: told)
    log = world.control.daemon("control").log.read_text(encoding="utf-8")
    assert "DNS record drifts of subnet default is missing" in log
    assert f"DNS record {STRAY} of subnet default is 10.10.0.251" in log

    break_it(world)
    done = hv1.run(["ovnhook", "check", "--repair", "--format", "yaml"])
    assert done.stdout.count("repaired: true") == done.stdout.count("difference:")
    mended()
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"

    for host, daemon in ((hv1, "agent"), (world.control, "nb"), (hv1, "libvirtd"), (hv1, "ovs-db")):
        if daemon == "agent":
            hv1.daemon("agent").stop()
        break_it(world)
        if daemon == "agent":
            with pytest.raises(
                CommandError, match=r"error: no agent runs on this host.*\n.*hint: .*start ovnhook-agent"
            ):
                hv1.run(["ovnhook", "check"])
        host.daemon(daemon).restart()
        world.wait_for(lambda: seen(world) == sound, f"all to be mended after {daemon} came back")


@contextmanager
def stuck_qemu(world: World) -> Iterator[None]:
    """A QEMU of hv1 that does not answer, and somebody who asks it something."""
    hv1 = world.hv1
    world.boot(hv1, "stuck", interface_xml(), dhcp="none")
    pid = hv1.read("/run/libvirt/qemu/stuck.pid").strip()
    with ThreadPoolExecutor(1) as pool:
        hv1.run(["kill", "-STOP", pid])
        asked = pool.submit(hv1.run, ["virsh", "domstats", "stuck"], check=False, timeout=HANG)
        try:
            yield
        finally:
            hv1.run(["kill", "-CONT", pid])
            asked.result()


@contextmanager
def slow_hook(world: World) -> Iterator[None]:
    """Another hook than ours that takes its time with one domain of hv1 that starts."""
    hv1 = world.hv1
    world.define(hv1, "stuck", interface_xml(), dhcp="none")
    script = '#!/bin/sh\n[ "$1 $2" = "stuck prepare" ] || exit 0\n'
    script += "rounds=0; while [ ! -e /run/go-on ] && [ $rounds -lt 2400 ]; do sleep 0.1; rounds=$((rounds + 1)); done"
    hv1.write("/etc/libvirt/hooks/qemu.d/zz-slow", script, 0o755)
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(hv1.run, ["virsh", "start", "stuck"], check=False, timeout=HANG)
        try:
            world.wait_for(lambda: world.ports("stuck"), "our hook to have been called")
            yield
        finally:
            hv1.run(["touch", "/run/go-on"])
            started.result()
            hv1.run(["rm", "/run/go-on", "/etc/libvirt/hooks/qemu.d/zz-slow"])


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(stuck_qemu, "its QEMU does not answer libvirt"), (slow_hook, "libvirt does not answer for it")],
    ids=["qemu", "hook"],
)
def test_trouble_with_one_domain_is_no_other_ones(
    world: World, trouble: Callable[[World], AbstractContextManager[None]], said: str
) -> None:
    """Its neighbours are repaired, start and stop; the command and the control host name the one that is stuck."""
    hv1 = world.hv1
    world.boot(hv1, "fine", interface_xml(), dhcp="none")
    world.boot(hv1, "ends", interface_xml(), dhcp="none")
    with trouble(world):
        world.wait_for(
            lambda: f"host hv1: domain stuck: {said}" in world.control.run(["ovnhook", "status"], check=False).stdout,
            "the control host to name the domain",
        )
        done = hv1.run(["ovnhook", "check", "--format", "json"], check=False)
        assert done.returncode == 8
        assert [(one["domain"], one["difference"]) for one in json.loads(done.stdout)] == [("stuck", said)]
        (port,) = world.ports("fine")
        world.control.run(["ovn-nbctl", "lsp-del", port["name"]])
        world.wait_for(lambda: world.ports("fine"), "the neighbour's port to be made")
        hv1.run(["virsh", "destroy", "ends"])
        hv1.run(["virsh", "undefine", "ends"])
        world.wait_for(lambda: not world.leases("ends"), "the leases of one that is undefined to be given back")
        world.boot(hv1, "new", interface_xml(), dhcp="none")
        assert len(world.ports("new")) == 1
        log = hv1.daemon("agent").log.read_text(encoding="utf-8")
        assert log.count(f"not repaired: domain stuck: {said}") == 1
    world.wait_for(lambda: world.control.run(["ovnhook", "status"], check=False).returncode == 0, "all to be well")
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"


def test_a_libvirt_that_hangs_is_named(world: World) -> None:
    """The command answers, and libvirt's coming back is noticed."""
    hv1 = world.hv1
    hv1.daemon("libvirtd").pause()
    try:
        with pytest.raises(CommandError, match="error: libvirt does not answer"):
            hv1.run(["ovnhook", "check"])
        world.wait_for(
            lambda: "host hv1: libvirt does not answer" in world.control.run(["ovnhook", "status"], check=False).stdout,
            "the control host to say so",
        )
    finally:
        hv1.daemon("libvirtd").resume()
    world.wait_for(lambda: world.control.run(["ovnhook", "status"], check=False).returncode == 0, "all to be well")
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"


def test_rows_of_a_subnet_that_somebody_deleted(world: World) -> None:
    """The control service makes switch and DHCP options again, agents the ports: guests have their network."""
    one = world.boot(world.hv1, "one", interface_xml())
    other = world.boot(world.hv2, "other", interface_xml())
    address = other.wait_address()
    one.reach(address)
    sound = world.rows("Logical_Switch", "DHCP_Options", "Logical_Router_Port")
    ports = {port["name"] for port in world.ports()}
    dhcp = ["ovn-nbctl", "--bare", "--columns=_uuid", "find", "DHCP_Options", "external_ids:ovnhook\\:subnet=default"]
    for command in (
        ["ovn-nbctl", "ls-del", "default"],
        *(["ovn-nbctl", "dhcp-options-del", row] for row in world.control.run(dhcp).stdout.split()),
    ):
        world.control.run(command)
        world.wait_for(
            lambda: (
                world.rows("Logical_Switch", "DHCP_Options", "Logical_Router_Port") == sound
                and {port["name"] for port in world.ports()} == ports
            ),
            f"all to be there again after {' '.join(command)}",
        )
        one.reach(address)
    late = world.boot(world.hv2, "late", interface_xml())
    late.wait_address()
    late.reach(address)
