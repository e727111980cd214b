"""Each role with its own certificate on a booted cloud: docs/explanation/security.md.

Root on hypervisor hv1 attacks the control host c1, and the guests of hypervisor hv2. The tests share one cloud, and run
in this order: the last one takes hv1's certificate back.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from lab.domain import CONSOLES, domain_xml, interface_xml
from lab.image import image
from lab.waiting import HANG
from ovnhook.pki import keyfiles
from ovnhook.pki.keyfiles import Files
from tests.attacks.api import ATTACHED, DETACHED, RUNNING, SECLUDED, STOPPED
from tests.attacks.floods import OF_API, OF_SOUTHBOUND, SILENT, Flood, FloodTarget, flooded
from tests.attacks.southbound import PERMISSION, SouthboundClient, attempts
from tests.packages.guests import address, guest, reaches, start
from tests.packages.hosts import CONTROL, prepare
from tests.packages.machine import Machine
from tests.packages.network import MachineNetwork

ATTACKER, VICTIM = "192.0.2.2", "192.0.2.3"
ISOLATED = "<ovn:domain xmlns:ovn='urn:ovnhook:domain:1'><ovn:interface isolated='yes'/></ovn:domain>"
KEPT = ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "DHCP_Options", "DNS", "NAT")
API, ENROLMENT, SOUTHBOUND = (f"{CONTROL}:{port}" for port in (6645, 6646, 6642))
GATEWAY, ROGUE = "10.128.0.1", "rogue"


@dataclass
class BootedCloud:
    """A control host, a hypervisor that attacks, and one with guests.

    Attributes:
        control: the control host.
        attacker: hypervisor hv1.
        victim: hypervisor hv2.
        prefix: command that runs a program of this tree where hv1 is.
    """

    control: Machine
    attacker: Machine
    victim: Machine
    prefix: Sequence[str]

    @property
    def shown(self) -> Files:
        """Files of hv1's certificate."""
        return keyfiles.node(self.attacker.path("/etc/ovnhook/certificates"))

    def python(self, *arguments: str) -> str:
        """Run a module of this tree where hv1 is."""
        command = [*self.prefix, sys.executable, "-m", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10 * HANG).stdout

    def target(self, where: str) -> FloodTarget:
        """A server of the control host, with hv1's certificate."""
        return FloodTarget(where, self.shown.ca, (self.shown.certificate, self.shown.key))

    def rows(self) -> str:
        """What the northbound database has of networks and guests."""
        dump = "ovsdb-client --no-leader-only dump unix:/run/ovn/ovnnb_db.sock OVN_Northbound"
        return "".join(self.control.run(f"{dump} {table}") for table in KEPT)

    def goes_on(self) -> None:
        """A domain starts and stops on hv2, its guest reaches its gateway, and root on the control host is served."""
        self.victim.run("virsh start --paused web9; virsh destroy web9")
        reaches(self.victim, RUNNING, GATEWAY)
        assert "blue" in self.control.run("ovnhook subnet list")
        assert "hv2" in self.control.run("ovnhook node list")


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def cloud(request: pytest.FixtureRequest) -> Iterator[BootedCloud]:
    """A cloud in which hv2 has domains of libvirt and of an API client."""
    network = MachineNetwork()
    with ExitStack() as undo:
        undo.callback(network.remove)
        hosts = []
        for name, own in (("c1", CONTROL), ("hv1", ATTACKER), ("hv2", VICTIM)):
            machine = Machine(request.param, network.host(f"{own}/24"))
            undo.callback(machine.remove)
            machine.boot()
            hosts.append(prepare(machine, name, own, ["ovnhook-control" if name == "c1" else "ovnhook-hypervisor"]))
        control, attacker, victim = hosts
        control.run("ovnhook node init --control; ovnhook subnet create blue 10.1.0.0/24")
        for name, host in (("hv1", attacker), ("hv2", victim)):
            host.run(f"echo {control.run(f'ovnhook node token {name}').strip()} | ovnhook node join -")
        start(victim, RUNNING)
        address(victim, RUNNING)
        for name, metadata in ((STOPPED, ""), (SECLUDED, ISOLATED), ("web9", "")):
            define(victim, name, metadata)
            victim.run(f"virsh start --paused {name}")
        victim.run(f"virsh destroy {STOPPED}; virsh destroy web9")
        for name in (ATTACHED, DETACHED):
            victim.run(f"ovnhook port create {name} --host hv2")
        detach = f"Client(None).call('Detach', name='{DETACHED}', host='hv2')"
        victim.run(f'python3 -c "from ovnhook.api.client import Client; {detach}"')
        yield BootedCloud(control, attacker, victim, ("ip", "netns", "exec", network.name(ATTACKER)))


def define(machine: Machine, name: str, metadata: str) -> None:
    """Define a domain."""
    xml = domain_xml(name, [interface_xml()], metadata=metadata)
    xml = xml.replace(str(image().kernel), "/root/vmlinuz").replace(str(image().initramfs), "/root/initramfs")
    machine.path(f"/root/{name}.xml").write_text(xml)
    machine.run(f"mkdir -p {CONSOLES}; virsh define /root/{name}.xml")


def test_a_node_by_the_api(cloud: BootedCloud) -> None:
    """It changes nothing of another node, whatever it names, and no setting of the cloud."""
    before = cloud.rows()
    shown = cloud.shown
    files = map(str, (shown.certificate, shown.key, shown.ca))
    assert json.loads(cloud.python("tests.attacks.api", API, *files, "hv1", "hv2")) == {}
    assert cloud.rows() == before
    cloud.goes_on()


@pytest.mark.parametrize("flood", OF_API, ids=lambda flood: flood.__name__)
def test_a_node_that_floods_the_control_service(cloud: BootedCloud, flood: Flood) -> None:
    """Others are served meanwhile and afterwards; without a certificate it floods the port where hosts join."""
    with flooded(flood, cloud.target(API), cloud.prefix):
        cloud.goes_on()
    if flood in SILENT:
        with flooded(flood, FloodTarget(ENROLMENT, cloud.shown.ca, None), cloud.prefix):
            cloud.goes_on()
    cloud.goes_on()


@pytest.mark.parametrize("flood", OF_SOUTHBOUND, ids=lambda flood: flood.__name__)
def test_a_node_that_floods_the_southbound_database(cloud: BootedCloud, flood: Flood) -> None:
    """Others are served meanwhile and afterwards."""
    with flooded(flood, cloud.target(SOUTHBOUND), cloud.prefix):
        cloud.goes_on()
    cloud.goes_on()


def test_a_node_in_the_southbound_database(cloud: BootedCloud) -> None:
    """OVN refuses what is another host's or northd's; a guest whose binding was changed is bound again by its host."""
    shown = cloud.shown
    client = SouthboundClient(f"ssl:{SOUTHBOUND}", shown.certificate, shown.key, shown.ca, cloud.prefix)
    (port,) = re.findall(rf"^(\S+) +{RUNNING} ", cloud.control.run("ovnhook port list"), re.MULTILINE)
    tried = list(attempts(client, "hv1", "hv2", port))
    errors = {one.what: client.error(*one.operations) for one in tried}
    assert errors == {one.what: "" if one.passes else PERMISSION for one in tried}
    cloud.goes_on()
    bound = f"ovn-sbctl --bare --columns=additional_chassis find Port_Binding logical_port={port}"
    cloud.control.wait_for(lambda: not cloud.control.run(bound).strip(), "hv1 to be sent no more copies of packets")
    said = "host hv1 was sent copies of the packets of domain web1"
    assert said in cloud.control.run("ovnhook status", check=False)


def test_a_node_that_forges_packets(cloud: BootedCloud) -> None:
    """Its tunnels reach every guest, with any sender: port security is enforced by the host of the sender."""
    shown = cloud.shown
    client = SouthboundClient(f"ssl:{SOUTHBOUND}", shown.certificate, shown.key, shown.ca, cloud.prefix)
    by_name = {row["logical_port"]: row for row in client.rows("Port_Binding")}
    (switch,) = (row for row in client.rows("Datapath_Binding") if ["name", "main"] in row["external_ids"][1])
    listed = {port["domain_name"]: port for port in json.loads(cloud.control.run("ovnhook port list --format json"))}
    ingress, egress = (by_name[listed[name]["id"]]["tunnel_key"] for name in (ATTACHED, RUNNING))
    places = [word for name in (ATTACHED, RUNNING) for word in (listed[name]["mac"], *listed[name]["addresses"][:1])]
    received = "awk '/^Icmp:/ {print $10}' /proc/net/snmp | tail -1"
    before = int(guest(cloud.victim, received, RUNNING))
    keys = map(str, (switch["tunnel_key"], ingress, egress))
    arguments = (VICTIM, *keys, *places)

    def arrived() -> bool:
        cloud.python("tests.attacks.tunnels", *arguments)
        return int(guest(cloud.victim, received, RUNNING)) > before

    cloud.victim.wait_for(arrived, "a forged packet to arrive")  # the tunnel is new after the test before


def test_a_guest(cloud: BootedCloud) -> None:
    """It sends with no other MAC or IP address, answers no ARP or DHCP request for others, and steals no address."""
    start(cloud.attacker, ROGUE)
    own, other = address(cloud.attacker, ROGUE), address(cloud.victim, RUNNING)
    reaches(cloud.attacker, ROGUE, other)

    def lost(command: str) -> bool:
        return " 100% packet loss" in guest(cloud.attacker, f"{command} || true", ROGUE)

    false = "10.128.0.250"
    guest(cloud.attacker, f"ip address add {false}/24 dev eth0", ROGUE)
    assert lost(f"ping -c 3 -W 1 -I {false} {other}")
    neighbours = "ping -c 1 10.128.0.1 >/dev/null; ip neigh show 10.128.0.1"
    before = guest(cloud.victim, neighbours, RUNNING)
    guest(cloud.attacker, "ip address add 10.128.0.1/24 dev eth0; arping -U -c 3 -I eth0 10.128.0.1; true", ROGUE)
    assert guest(cloud.victim, neighbours, RUNNING).split()[:5] == before.split()[:5]
    guest(cloud.attacker, "ip address delete 10.128.0.1/24 dev eth0", ROGUE)
    offers = "start 10.128.0.240\\nend 10.128.0.249\\ninterface eth0\\nlease_file /run/udhcpd\\n"
    guest(cloud.attacker, f"printf '{offers}' >/run/udhcpd.conf; touch /run/udhcpd; udhcpd /run/udhcpd.conf", ROGUE)
    guest(cloud.victim, "udhcpc -i eth0 -s /lab/lease -q -n", RUNNING)
    assert address(cloud.victim, RUNNING) == other
    change = "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:66; ip link set eth0 up"
    guest(cloud.attacker, f"ip address flush dev eth0; {change}; ip address add {own}/24 dev eth0", ROGUE)
    assert lost(f"ping -c 3 -W 1 {other}")
    cloud.attacker.run(f"virsh destroy {ROGUE}")


def test_a_node_that_is_revoked(cloud: BootedCloud) -> None:
    """It is shut out at once, by every port, and hv2 goes on."""
    cloud.control.run("ovnhook certificate revoke hv1 --role node")
    assert "error: " in cloud.attacker.run("ovnhook node list 2>&1 || true")
    shown = cloud.shown
    files = f"--private-key={shown.key} --certificate={shown.certificate} --ca-cert={shown.ca}"
    for port, database in ((6641, "OVN_Northbound"), (6642, "OVN_Southbound")):
        command = f"ovsdb-client --timeout=5 {files} list-dbs ssl:{CONTROL}:{port}".split()
        done = subprocess.run([*cloud.prefix, *command], check=False, capture_output=True, text=True, timeout=HANG)
        assert database not in done.stdout
    cloud.goes_on()
