"""OVN's databases on three control hosts that boot: one member with all that it had, two that join, one that dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ovnhook.pki import x509
from ovnhook.pki.x509 import Authority, Subject
from tests.packages.guests import QEMU_CONF, address, guest, hear, install, lost, start
from tests.packages.hosts import rows, settled
from tests.packages.machine import Machine, packages

FILES = "/etc/ovnhook/cluster"
ADDRESSES = ("198.51.100.1", "198.51.100.2", "198.51.100.3")
STEPS = f"""
import sys
from pathlib import Path
from ovnhook.base.errors import OvnhookError
from ovnhook.pki.keyfiles import Files
from ovnhook.setup import cluster
from ovnhook.setup.step import apply_steps
own, joins, members = sys.argv[1:]
north, south = (
    Files(*(Path("{FILES}", name) for name in ("control.pem", "control.key", ca))) for ca in ("authority.pem", "ca.pem")
)
try:
    apply_steps(cluster.steps(cluster.ClusterMember(own, joins, tuple(members.split(",")), north, south)), print)
except OvnhookError as error:
    print("error:", error)
"""
SERVICE = f"""
listen = "0.0.0.0:6645"
certificate = "{FILES}/control.pem"
private_key = "{FILES}/control.key"
ca = "{FILES}/ca.pem"
"""
CONFIGURATION = f"""
{SERVICE}
control = "{",".join(f"{one}:6645" for one in ADDRESSES)}"
database_certificate = "{FILES}/node.pem"
database_private_key = "{FILES}/node.key"
database_ca = "{FILES}/authority.pem"
"""
NODE = f"""
ovs-vsctl set-ssl {FILES}/node.key {FILES}/node.pem {FILES}/authority.pem
ovs-vsctl set open . external_ids:ovn-remote={",".join(f"ssl:{one}:6642" for one in ADDRESSES)}
systemctl restart ovnhook-agent
"""


def test_three_control_hosts(machines: Callable[[str], Machine]) -> None:
    """A guest runs on the first host from the beginning, and nothing of what it sends is lost."""
    first, second, third = hosts = [machines(f"{one}/24") for one in ADDRESSES]
    for number, host in enumerate(hosts, 1):
        host.run(f"hostnamectl hostname c{number}; mkdir -p {FILES}")
        host.path("/root/steps.py").write_text(STEPS)
        install(host, packages())
    certify(hosts)
    first.path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    first.run("systemctl restart libvirtd")
    first.run("ovs-vsctl set open . external-ids:ovn-bridge-datapath-type=netdev")  # it has no kernel module
    first.run("ovnhook node init --all-in-one --no-external")
    hear(first)
    start(first)
    there, kept = address(first), rows(first)
    guest(first, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &")

    first.run("printf 'OVN_CTL_OPTS=\"--ovn-northd-n-threads=2\"\\n' >>/etc/default/ovn-central")
    assert "changed    /var/lib/ovn/ovnnb_db.db is a clustered database" in steps(first)
    assert "--ovn-northd-n-threads=2 " in first.run("grep ^OVN_CTL_OPTS= /etc/default/ovn-central")
    assert rows(first) == kept
    settled(first)
    assert undone(steps(first)) == []

    second.run("ovnhook subnet create own 10.4.0.0/24 --no-router")
    said = steps(second, joins=1)
    assert "error: this host has a cloud of its own, with the logical switches own, which would be lost" in said
    second.run("ovnhook subnet delete own; systemctl mask --runtime ovn-ovsdb-server-sb")
    assert "error: systemctl restart ovn-ovsdb-server-sb" in steps(second, joins=1)
    second.run("systemctl unmask --runtime ovn-ovsdb-server-sb")
    said = steps(second, joins=1)
    assert "unchanged  OVN_Northbound is connected to the cluster of 198.51.100.1" in said
    assert "error" not in said
    assert "error" not in steps(third, joins=2)
    for host, joins in ((first, 0), (second, 1), (third, 2)):
        steps(host, joins=joins)
        assert undone(steps(host, joins=joins)) == []
        assert rows(host) == kept
    old = 'sed \'s/"version": "[0-9.]*"/"version": "1.0.0"/\' /usr/share/ovn/ovn-nb.ovsschema >/root/old'
    second.run(f"{old}; ovsdb-client --no-leader-only convert unix:/run/ovn/ovnnb_db.sock /root/old")
    (upgraded,) = undone(steps(second, joins=1))
    assert upgraded == "changed    OVN_Northbound has the schema version of this host's OVN or a newer one"
    states = [host.run("ovn-appctl -t ovn-northd status").split()[-1] for host in hosts]
    assert sorted(states) == ["active", "standby", "standby"]

    for host in hosts:
        host.path("/etc/ovnhook/ovnhook.toml").write_text(CONFIGURATION if host is first else SERVICE)
        host.run("systemctl restart ovnhook-control")
    first.run(NODE)
    settled(first)
    assert lost(first) == 0
    first.run("systemctl stop ovn-central")  # all of it: the guest is served by the other two
    third.run("ovnhook subnet create blue 10.1.0.0/24")
    assert "blue" in second.run("ovnhook subnet list")
    first.run("virsh destroy web1; virsh start web1")
    assert address(first) == there
    settled(first)
    first.run("systemctl start ovn-central")
    first.wait_for(lambda: "blue" in first.run("ovn-nbctl --no-leader-only ls-list", check=False), "it to catch up")

    third.power_off()
    first.run("virsh destroy web1; virsh start web1")
    assert address(first) == there
    third.boot()
    third.wait_for(lambda: rows(third) == rows(first), "it to be a member again")
    assert undone(steps(third, joins=2)) == []

    for lost_one, joins, others in ((third, 2, (first, second)), (first, 0, (second, third))):
        lost_one.run("systemctl stop ovn-central; rm /var/lib/ovn/*")  # it is gone for good, and another one comes
        assert undone(without(others[0], lost_one)) != []
        assert undone(without(others[1], lost_one)) == []
        assert "error" not in steps(lost_one, joins=joins)
        assert rows(lost_one) == rows(others[0])
        assert f"at ssl:{ADDRESSES[1]}:6643" in lost_one.run(
            "ovn-appctl -t /run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound"
        )


def certify(hosts: Sequence[Machine]) -> None:
    """Give each host its certificate, and the first one also a node's."""
    authority, node = Authority.new(), Subject("c1", x509.NODE)
    anchor, key = authority.anchor(node), x509.new_key()
    for number, host in enumerate(hosts, 1):
        own = x509.new_key()
        made = authority.issue_server(x509.request(own), f"c{number}", [ADDRESSES[number - 1]])
        trusted = {"authority.pem": authority.certificate, "ca.pem": authority.certificate + anchor}
        put(host, {"control.key": own, "control.pem": made, **trusted})
    put(hosts[0], {"node.key": key, "node.pem": authority.issue(x509.request(key), node, anchor)})


def put(host: Machine, files: dict[str, bytes]) -> None:
    """Write files to a host."""
    for name, content in files.items():
        host.path(f"{FILES}/{name}").write_bytes(content)


def steps(host: Machine, *, joins: int = 0) -> str:
    """Make a host a member; what was said.

    Args:
        host: of the three.
        joins: how many were members before it: 0 for the first one.
    """
    own = host.run("hostname -I").split()[0]
    met = "198.51.100.1" if joins else "''"
    return host.run(f"python3 /root/steps.py {own} {met} {','.join(ADDRESSES)}")


def without(host: Machine, gone: Machine) -> str:
    """Let a host put another one out of the cluster; what was said."""
    own = gone.run("hostname -I").split()[0]
    program = f"from ovnhook.setup import cluster, step; step.apply_steps(cluster.remove_member('{own}'), print)"
    return host.run(f'python3 -c "{program}"')


def undone(said: str) -> list[str]:
    """What was not as it was."""
    return [line for line in said.splitlines() if not line.startswith("unchanged  ")]
