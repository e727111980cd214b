"""Machines as hosts of a cloud: with packages, on the network between them, beside one outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.packages.guests import QEMU_CONF, guest, install
from tests.packages.machine import Machine, packages

CONTROL = "192.0.2.1"
WIRE = """
[Unit]
Description=the network between the hosts, as a switch without a kernel module needs it
After=openvswitch-switch.service
Before=network-online.target ovn-host.service
Requires=openvswitch-switch.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ovs-vsctl --may-exist add-br wire -- --may-exist add-port wire eth0
ExecStart=ovs-vsctl set Bridge wire datapath_type=netdev other_config:hwaddr={mac}
ExecStart=ip address flush dev eth0
ExecStart=ip address replace {address}/24 dev wire
ExecStart=ip link set wire up

[Install]
WantedBy=multi-user.target
"""

OUTSIDE = """
ip netns add outside
ip link add eth1 type veth peer name eth0 address 02:00:00:00:00:fe netns outside
ip -n outside address add 203.0.113.254/24 dev eth0
ip -n outside link set eth0 up
"""
"""A network outside with one machine in it, behind an interface that nobody has switched on."""

ROWS = "ovsdb-client --no-leader-only dump unix:/run/ovn/ovnnb_db.sock OVN_Northbound {} _uuid name | grep -v NB_Global"


def prepare(machine: Machine, name: str, address: str, kinds: Sequence[str]) -> Machine:
    """Install packages on a machine, as a person does."""
    machine.path("/etc/systemd/system/wire.service").write_text(WIRE.format(address=address, mac=_mac(address)))
    machine.run("systemctl disable --now ovn-central")
    set_up(machine, name, [deb for deb in packages() if deb.name.split("_")[0] in ("python3-ovnhook", *kinds)])
    machine.run("systemctl enable --now wire")
    return machine


def set_up(machine: Machine, name: str, debs: list[Path]) -> None:
    """Give a machine a name and packages, and let guests run in its container."""
    machine.path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    machine.run(f"systemctl restart libvirtd; hostnamectl hostname {name}")
    install(machine, debs)
    machine.run("ovs-vsctl set open . external-ids:ovn-bridge-datapath-type=netdev")  # it has no kernel module


def _mac(address: str) -> str:
    """One that stays over a reboot, as a card's: the switches of others keep it for a quarter of an hour."""
    return f"02:00:00:00:00:{int(address.rpartition('.')[2]):02x}"


def rows(machine: Machine) -> str:
    """The switches, ports and leases, by UUID."""
    return "".join(machine.run(ROWS.format(table)) for table in ("Logical_Switch", "Logical_Switch_Port"))


def settled(machine: Machine) -> None:
    """Wait until nothing differs on the host, and the guest is served."""
    machine.wait_for(lambda: machine.run("ovnhook check; echo $?", check=False).endswith("\n0\n"), "nothing to differ")
    machine.wait_for(lambda: "1 packets received" in guest(machine, "ping -c 1 -W 1 10.128.0.1 || true"), "the gateway")
