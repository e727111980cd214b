"""What somebody, or an accident, has changed behind our back: told by `ovnhook check`, and mended by the agent."""

from __future__ import annotations

import json

import pytest

from lab.domain import interface_xml
from lab.errors import CommandError
from tests.cloud.test_guests import MACS
from tests.cloud.world import Row, World

QUIET = 25.0  # seconds; the agent looks by itself no sooner than half a minute after its last look
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

    break_it(world)
    broken = seen(world)
    done = hv1.run(["ovnhook", "check", "--format", "json"], check=False)
    assert done.returncode == 8
    everything = " ".join(one["difference"] for one in json.loads(done.stdout))
    for mac, what in zip(
        MACS, ("has 10.10.0.250", "columns of port", "it has no port", "is bound to wrong"), strict=False
    ):
        assert any(what in one["difference"] for one in json.loads(done.stdout) if one["interface"] == mac)
    assert "name drifts of subnet default is missing" in everything
    assert f"name {STRAY} of subnet default is 10.10.0.251" in everything
    assert "port vnet99" in everything
    assert seen(world) == broken

    done = hv1.run(["ovnhook", "check", "--repair", "--format", "yaml"])
    assert done.stdout.count("mended: true") == done.stdout.count("difference:") > 0
    assert seen(world) == sound
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
        world.wait_for(lambda: seen(world) == sound, f"all to be mended after {daemon} came back", timeout=QUIET)
