"""From apt install to a guest that reaches the outside, by "ovnhook node init --all-in-one", on machines that boot."""

from __future__ import annotations

import re

from tests.packages.guests import address, guest, start
from tests.packages.hosts import OUTSIDE, set_up
from tests.packages.machine import Machine, packages

INIT = "ovnhook node init --all-in-one"
OWN = "ip address add 203.0.113.5/24 dev eth1; ip link set eth1 up"
NETWORK = "ip address show dev eth1 scope global; ip route"
EXTERNAL = "--external-interface eth1 --external-cidr 203.0.113.10/24 --next-hop 203.0.113.254"


def test_all_in_one(machine: Machine) -> None:
    """What can't be is refused, a failure half way is gone on from, and then all works, also after a reboot.

    The interface for the external network has the host's own address, which stays there.
    """
    set_up(machine, "hv1.example", packages())
    machine.run(OUTSIDE)

    machine.run(OWN)
    before, network = settings(machine), machine.run(NETWORK)
    said = machine.run(f"{INIT} {EXTERNAL.replace('eth1', 'lo')}; echo status $?")
    assert "error: interface lo is a loopback interface" in said
    assert "status 5" in said
    assert settings(machine) == before

    machine.run("ovn-nbctl set-connection ptcp:6641")
    said = machine.run(f"{INIT} {EXTERNAL}; echo status $?")
    assert "error: the northbound database listens on ptcp:6641" in said
    assert "hint: if no other host needs it: ovn-nbctl del-connection" in said
    machine.run("ovn-nbctl del-connection")

    machine.run("systemctl stop ovn-host; systemctl mask --runtime ovn-host")
    said = machine.run(f"{INIT} {EXTERNAL}; echo status $?")
    assert "error: systemctl enable --now ovn-host" in said
    machine.run("systemctl unmask --runtime ovn-host")

    said = machine.run(f"{INIT} {EXTERNAL}")
    assert "unchanged  Open vSwitch has ovn-remote=unix:/run/ovn/ovnsb_db.sock" in said  # done before it failed
    assert "changed    the default subnet is main, 10.128.0.0/24" in said
    assert "changed    router gateway has the external address 203.0.113.10/24 and next hop 203.0.113.254" in said
    assert "changed    interface ovnhook-ex exists on eth1, which has this host's addresses" in said
    again = machine.run(f"{INIT} {EXTERNAL}")
    assert [line for line in again.splitlines() if not line.startswith("unchanged  ")] == []
    assert machine.run(NETWORK) == network
    assert len(again.splitlines()) >= len(said.splitlines())

    start(machine)
    first = address(machine)
    assert first.startswith("10.128.0.")
    machine.wait_for(lambda: "ok" in machine.run("ovnhook status", check=False).split(), "all to be well")
    assert re.search(r"^hv1 ", machine.run("ovnhook node list"), re.MULTILINE)
    assert guest(machine, "until ping -c 1 -W 2 203.0.113.254; do :; done")
    assert listeners(machine) == set()

    machine.power_off()
    machine.boot()
    machine.run(f"{OUTSIDE}{OWN}")  # after the boot, as a slow card
    assert address(machine) == first
    machine.wait_for(lambda: " 0% packet loss" in outside(machine), "the way outside after the reboot")
    again = machine.run(f"{INIT} {EXTERNAL}")
    assert [line for line in again.splitlines() if not line.startswith("unchanged  ")] == []

    said = machine.run(f"{INIT} --name other; echo status $?")
    assert "error: this host is part of OVN as hv1, not as other" in said
    said = machine.run(f"{INIT} {EXTERNAL.replace('113.10/', '113.11/')}; echo status $?")
    assert "error: router gateway already has the external address 203.0.113.10/24" in said

    machine.run("apt-get -qy purge ovnhook-hypervisor ovnhook-control python3-ovnhook")
    assert machine.run("find /etc -name '*ovnhook*'") == ""
    assert " 0% packet loss" in outside(machine)


def settings(machine: Machine) -> str:
    """What Open vSwitch was told."""
    return machine.run("ovs-vsctl get open . external_ids; ovs-vsctl show | grep -v ovs_version")


def outside(machine: Machine) -> str:
    """What a ping of the guest to the machine outside says."""
    return guest(machine, "ping -c 1 -W 2 203.0.113.254 || true")


def listeners(machine: Machine) -> set[str]:
    """Where somebody listens whom others can reach, tunnels excepted: those carry guests' packets."""
    found = [line.split()[3] for line in machine.run("ss -Htln").splitlines()]
    return {where for where in found if not where.startswith(("127.", "[::1]"))}
