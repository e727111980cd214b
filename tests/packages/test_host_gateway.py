"""A machine with one connection, its own: guests reach the outside through it, from node init to purge."""

from __future__ import annotations

from tests.packages.guests import address, guest, start
from tests.packages.hosts import set_up
from tests.packages.machine import Machine, packages

INIT = "ovnhook node init --all-in-one"
UPLINK = """
ip netns add outside
ip link add eth1 type veth peer name eth0 netns outside
ip -n outside address add 203.0.113.254/24 dev eth0
ip -n outside link set eth0 up
ip address add 203.0.113.10/24 dev eth1
ip link set eth1 up
ip route add default via 203.0.113.254
"""
"""The host's connection, as its own configuration makes it."""

CONNECTION = """
ip netns exec outside python3 -u -c '
import socket, time
server = socket.create_server(("", 9000)); print("ready", flush=True); there, _ = server.accept()
for number in range(100000): there.send(b"x"); assert there.recv(1) == b"x"; time.sleep(0.05)
' >/run/connection 2>&1 &
until grep -q ready /run/connection; do sleep 0.1; done
python3 -c '
import socket
there = socket.create_connection(("203.0.113.254", 9000))
while there.send(there.recv(1)): pass
' >/dev/null 2>&1 &
echo $! >/run/client
"""
"""Somebody is connected to the host all the time."""

FORWARDING = "cat /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/all/forwarding"
OWN = "ip -brief -4 address show dev eth1; ip route show dev eth1"


def test_one_interface(machine: Machine) -> None:
    """The host keeps what it has; a second time changes nothing; a reboot and a purge leave what they should."""
    set_up(machine, "hv1", packages())
    machine.run(UPLINK)
    before, forwarded = machine.run(OWN), machine.run(FORWARDING)
    machine.run(CONNECTION)
    said = machine.run(f"{INIT} --subnet 203.0.113.0/25; echo status $?")
    assert "error: subnet 203.0.113.0/25 overlaps with network 203.0.113.0/24 of this host" in said
    assert "status 5" in said
    said = machine.run(INIT)
    assert "changed    router gateway reaches the outside through its gateway host" in said
    assert changed(machine.run(INIT)) == []
    assert machine.run(OWN) == before
    start(machine)
    first = address(machine)
    assert guest(machine, "until ping -c 1 -W 2 203.0.113.254; do :; done")
    assert " 0% packet loss" in machine.run(f"ping -c 2 -w 10 {first}")
    assert machine.run("kill -0 $(cat /run/client); cat /run/connection") == "ready\n"  # still connected

    machine.power_off()
    machine.boot()
    machine.run(UPLINK)  # after the boot, as a slow network
    assert address(machine) == first
    assert guest(machine, "until ping -c 1 -W 2 203.0.113.254; do :; done")
    machine.run("systemctl is-active ovnhook-gateway")
    machine.run("systemctl stop ovnhook-agent; nft flush ruleset; ip address flush dev br-host")
    machine.run("systemctl restart ovnhook-gateway; systemctl start ovnhook-agent")
    assert guest(machine, "until ping -c 1 -W 2 203.0.113.254; do :; done")
    assert changed(machine.run(INIT)) == []

    machine.run("apt-get -qy purge ovnhook-hypervisor ovnhook-control python3-ovnhook")
    assert machine.run("nft list tables; ovs-vsctl list-br | grep -x br-host || true") == ""
    assert "ovnhook" not in machine.run("systemctl list-units --all")
    assert "br-host" not in machine.run("ovs-vsctl get open . external_ids; ip link; ip route")
    assert set(machine.run(FORWARDING).split()) == set(forwarded.split())
    assert machine.run(OWN) == before


def changed(said: str) -> list[str]:
    """Steps that changed something."""
    return [line for line in said.splitlines() if not line.startswith("unchanged  ")]
