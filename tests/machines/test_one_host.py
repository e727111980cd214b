"""One host with one network interface, set up over ssh by the how-to. The cases follow one another on one machine."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.machines import installation
from tests.machines.nested_guest import NestedGuest
from tests.machines.typed_page import CHECKOUT, follow
from tests.machines.virtual_machine import VirtualMachine
from tests.machines.wire import INTERNET, INTERNET_NAME
from tests.packages.machine import REPO, packages

INIT = "ovnhook node init --all-in-one"
HOW_TO = (REPO / "docs" / "how-to" / "set-up-one-host.md").read_text(encoding="utf-8")
SET_UP, _, USE = HOW_TO.partition("\n3. ")
ANSWER = 'APT::Get::Assume-Yes "true";\n'
MONITOR = "ip -o monitor address route >/run/monitor 2>&1 &"


@pytest.fixture(scope="module")
def host(machines: Callable[..., list[VirtualMachine]]) -> VirtualMachine:
    """A host that is set up; since before its first command it notes what changes of addresses and routes."""
    (machine,) = machines("hv1")
    machine.run(MONITOR)
    machine.write(ANSWER, "/etc/apt/apt.conf.d/answer")
    installation.put(machine, packages())
    follow(machine, SET_UP, {CHECKOUT: "ls dist"})
    return machine


@pytest.fixture(scope="module")
def guest(host: VirtualMachine) -> NestedGuest:
    """A guest that runs."""
    made = NestedGuest("web1", host)
    made.install(USE)
    return made


def test_network_of_the_host(host: VirtualMachine) -> None:
    """Installation and set-up over ssh leave the host's address, default route and the connection as they were."""
    lost = re.findall(r"^Deleted .*\beth0\b.*$", host.run("cat /run/monitor"), re.MULTILINE)
    assert lost == []
    assert host.is_connected()
    assert f"inet {host.address}/24" in host.run("ip address show dev eth0")
    assert "inet6 2001:db8:1:" in host.run("ip address show dev eth0")
    for family in ("-4", "-6"):
        assert "dev eth0" in host.run(f"ip {family} route show default")


def test_kernel(host: VirtualMachine, guest: NestedGuest) -> None:
    """Open vSwitch forwards in Debian's kernel module, and AppArmor confines libvirt's guests."""
    assert "system@ovs-system" in host.run("ovs-dpctl show")
    confined = f"libvirt-{host.run('virsh domuuid web1').strip()} (enforce)"
    assert confined in host.run("cat /proc/$(pidof qemu-system-x86_64)/attr/current")
    assert installation.denied(host) == []


def test_second_set_up(host: VirtualMachine) -> None:
    """A second ``node init`` changes nothing."""
    assert installation.init(host, INIT) == []
    installation.settle(host)


def test_virt_install(host: VirtualMachine, guest: NestedGuest) -> None:
    """``virt-install --network network=main`` gives a guest with a leased address, which libvirt's tools show."""
    address = guest.address()
    assert address in host.run("ovnhook lease list --domain web1")
    assert address in host.run("virsh domifaddr web1")
    guest.reaches("10.128.0.1")


def test_outside(host: VirtualMachine, guest: NestedGuest) -> None:
    """The guest reaches a host of the Internet, which sees the address of this host."""
    guest.reaches(INTERNET)
    assert guest.run(f"nc {INTERNET} 7 </dev/null").strip() == host.address


def test_from_the_host(host: VirtualMachine, guest: NestedGuest) -> None:
    """The host reaches the guest by ping and TCP, and the guest sees an address of the host that is not link-local."""
    address = guest.address()
    host.run(f"ping -c 3 -W 30 {address}")
    guest.run("(nc -l -p 5000 -e netstat -tn) >/dev/null 2>&1 &")
    said = host.run(f"timeout 300 bash -c 'until cat </dev/tcp/{address}/5000; do sleep 1; done'")
    assert f"{host.address}:" in said


def test_names(host: VirtualMachine, guest: NestedGuest) -> None:
    """The guest resolves its own name and one of the Internet, through the host's resolver."""
    assert guest.address() in guest.run("nslookup web1")
    assert INTERNET in guest.run(f"nslookup {INTERNET_NAME}")
    assert "NXDOMAIN" in guest.run("nslookup nobody")


def test_start_without_agent(host: VirtualMachine, guest: NestedGuest) -> None:
    """``virsh start`` works while the agent is stopped; AppArmor denies neither the hook nor libvirt anything."""
    before = guest.address()
    host.run("echo 'deadline = 60.0' >>/etc/ovnhook/ovnhook.toml")  # an emulated processor takes longer than 5 s
    host.run("virsh destroy web1; systemctl stop ovnhook-agent.service")
    guest.start()
    assert guest.address() == before
    assert installation.denied(host) == []
    host.run("systemctl start ovnhook-agent.service")
    installation.settle(host)


def test_reboot(host: VirtualMachine, guest: NestedGuest) -> None:
    """After a reboot an autostarted guest has its address again, and all is well."""
    before = guest.address()
    host.run(f"virsh autostart {guest.name}; rm -f /run/monitor")
    host.reboot()
    host.wait_for(lambda: guest.address() == before, "the guest to have its address")
    guest.reaches("10.128.0.1")
    installation.settle(host)
    assert installation.denied(host) == []


def test_purge(host: VirtualMachine) -> None:
    """``apt purge`` leaves the host's network, libvirt and OVN, and nothing of ovnhook."""
    host.run("virsh destroy web1; virsh undefine web1")
    host.run("DEBIAN_FRONTEND=noninteractive apt-get -qy purge 'ovnhook-*' python3-ovnhook")
    files = "find / -xdev -name '*ovnhook*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/log/*'"
    assert "ovnhook" not in host.run(f"{files}; systemctl list-units --all; ovs-vsctl show; ip link; nft list ruleset")
    assert "main" not in host.run("virsh net-list --all --name")
    assert host.run("sysctl -n net.ipv4.conf.eth0.forwarding") == "0\n"
    assert "dev eth0" in host.run("ip route show default")
    assert host.is_connected()
