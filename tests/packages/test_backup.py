"""A cloud that is saved, lost and brought back by "ovnhook control", on machines that boot, while a guest runs."""

from __future__ import annotations

from tests.packages.guests import address, goes_on, guest, hear, lost, start
from tests.packages.hosts import rows, set_up, settled
from tests.packages.machine import Machine, packages

LOSE = """
systemctl stop ovn-northd ovn-ovsdb-server-nb ovn-ovsdb-server-sb
rm /var/lib/ovn/ovn?b_db.db
systemctl start ovn-ovsdb-server-nb ovn-ovsdb-server-sb ovn-northd
"""
AWAY = "systemctl stop ovnhook-agent; ovs-vsctl set open . external_ids:ovn-remote=unix:/nowhere"
BACK = """
ovs-vsctl set open . external_ids:ovn-remote=unix:/run/ovn/ovnsb_db.sock
systemctl start ovnhook-agent
ovn-nbctl --wait=hv sync
"""


def test_a_cloud_comes_back(machine: Machine) -> None:
    """What a guest sends goes on, unless its host has seen the databases empty; then all is there again."""
    set_up(machine, "hv1", packages())
    machine.run("ovnhook node init --all-in-one --no-external")
    machine.run("ovnhook control backup /root/empty.tar.gz")
    hear(machine)
    start(machine)
    first = address(machine)
    guest(machine, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &")
    kept = rows(machine)
    machine.run("ovnhook control backup /root/guest.tar.gz; ovnhook subnet create red 10.3.0.0/24")

    said = machine.run("ovnhook control restore /root/guest.tar.gz")
    assert "changed    the northbound database matches the backup of hv1" in said
    assert rows(machine) == kept
    assert "red" not in machine.run("ovnhook subnet list")
    settled(machine)
    assert lost(machine) == 0

    machine.run("ovnhook control restore /root/empty.tar.gz")  # the guest was started after it
    settled(machine)
    assert rows(machine) == kept
    assert first in machine.run("ovnhook lease list")

    machine.run(AWAY)  # the host does not reach the databases while they are lost and come back
    machine.run(LOSE)
    machine.run("ovnhook control restore /root/guest.tar.gz; ovn-nbctl --wait=sb sync")
    machine.run(BACK)
    settled(machine)
    goes_on(machine)

    machine.run(LOSE)
    said = machine.run("ovnhook control restore /root/guest.tar.gz")
    assert " 0 rows missing" not in said
    settled(machine)
    assert rows(machine) == kept
    machine.run("virsh destroy web1; virsh start web1")
    assert address(machine) == first
