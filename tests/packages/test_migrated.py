"""A cloud of the version before, host by host, until no node has access to the northbound database any more."""

from __future__ import annotations

from collections.abc import Callable

from tests.packages.earlier import downgrade, upgrade
from tests.packages.guests import address, guest, hear, lost, start
from tests.packages.hosts import CONTROL, prepare, settled
from tests.packages.machine import Machine
from tests.packages.northbound import ways

INIT = "ovnhook node init --control"
LOCAL = "unix:/run/ovn/ovnnb_db.sock"
OPEN = f"ssl:{CONTROL}:6641"


def test_host_by_host(machines: Callable[[str], Machine]) -> None:
    """A guest's packets go on, nodes of both versions start domains, and the last node closes the access."""
    control = prepare(machines(f"{CONTROL}/24"), "c1", CONTROL, ["ovnhook-control"])
    one = prepare(machines("192.0.2.2/24"), "hv1", "192.0.2.2", ["ovnhook-hypervisor"])
    two = prepare(machines("192.0.2.3/24"), "hv2", "192.0.2.3", ["ovnhook-hypervisor"])
    for host in (control, one, two):
        downgrade(host)
    control.run(INIT)
    for name, host in (("hv1", one), ("hv2", two)):
        host.run(f"echo {control.run(f'ovnhook node token {name}').strip()} | ovnhook node join -")
    hear(one)
    start(one, "web1")
    start(two, "web2")
    there = address(one, "web1")
    guest(one, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &", "web1")
    assert ways(one, [CONTROL]) == {OPEN}

    upgrade(control, "ovnhook-control")
    control.wait_for(lambda: pending(control) == {"hv1", "hv2"}, "the status to name both nodes")
    assert "accepts every node's certificate" in control.run("ovnhook status || true")
    control.run(INIT)
    assert changed(control.run(INIT)) == []
    assert pending(control) == {"hv1", "hv2"}
    two.run("virsh destroy web2; virsh start web2")
    settled(one)

    upgrade(one, "ovnhook-hypervisor")
    one.run("ovnhook node renew")
    assert "northbound" not in one.path("/etc/ovnhook/ovnhook.toml").read_text()
    assert changed(one.run("ovnhook node renew")) == []
    control.wait_for(lambda: pending(control) == {"hv2"}, "the status to name the other node only")
    assert "on hv2: upgrade ovnhook, then ovnhook node renew" in control.run("ovnhook status || true")
    settled(one)
    two.run("virsh destroy web2; virsh start web2")
    assert ":6641" in control.run("ss -Htln")

    upgrade(two, "ovnhook-hypervisor")
    control.wait_for(lambda: ":6641" not in control.run("ss -Htln"), "the access to be withdrawn")
    two.run("systemctl start ovnhook-renew")
    control.wait_for(lambda: "ok" in control.run("ovnhook status", check=False).split(), "all to be well")
    for host in (one, two):
        assert ways(host, [CONTROL]) == set()
    assert lost(one) == 0
    one.run("virsh destroy web1; virsh start web1")
    assert address(one, "web1") == there

    control.run("systemctl restart ovn-ovsdb-server-nb")  # its options have the port still, and no node's certificate
    control.wait_for(lambda: ":6641" not in control.run("ss -Htln"), "it to be closed again")
    assert any("listens on its unix socket only" in line for line in changed(control.run(INIT)))
    assert ways(control, [CONTROL]) == {LOCAL}


def pending(control: Machine) -> set[str]:
    """The nodes that the status says the access is kept for."""
    said = control.run("ovnhook status", check=False).splitlines()
    return {line.split("host ")[1].split()[0] for line in said if "does not use the API yet" in line}


def changed(said: str) -> list[str]:
    """What a set-up had to change."""
    return [line for line in said.splitlines() if not line.startswith("unchanged  ")]
