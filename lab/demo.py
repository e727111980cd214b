"""The demo: the features of ovnhook step by step, each with its commands and a check."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Callable

from lab import hostgateway
from lab.cloud import LabCloud
from lab.domain import CMDLINE, domain_xml, interface_xml
from lab.errors import LabError
from lab.guest import Guest
from lab.host import LabHost
from lab.image import image
from lab.waiting import HANG, until

METADATA = "<ovn:domain xmlns:ovn='urn:ovnhook:domain:1'><ovn:interface {}/></ovn:domain>"
OUTSIDE = "203.0.113.254"
"""Address of the host outside."""

WIDTH = 96


def show(cloud: LabCloud) -> None:
    """Create the cloud and show all steps; the cloud stays up.

    Raises:
        LabError: a check failed.
    """
    say(f"Building a cloud on this machine: lab '{cloud.prefix}', a minute the first time, seconds later.")
    cloud.up()
    print(picture(cloud))
    first_network(cloud)
    tools_of_libvirt(cloud)
    ends_and_beginnings(cloud)
    the_outside(cloud)
    a_security_group(cloud)
    when_something_is_wrong(cloud)
    print(ending(cloud))


def first_network(cloud: LabCloud) -> None:
    """A subnet, and two guests on it, on two hosts."""
    hv1, hv2 = cloud.hypervisors
    step("A subnet", "On the control host. It is the default subnet, for domains that name none.")
    typed(cloud.control, "ovnhook subnet create blue 10.1.0.0/24 --default --range 10.1.0.10-10.1.0.99")
    typed(cloud.control, "ovnhook subnet list")

    step(
        "Two ordinary domains",
        "Their XML says nothing of ovnhook: one interface on the bridge br-int, with an openvswitch virtualport.",
    )
    define(hv1, "web1")
    define(hv2, "web2")
    typed(hv1, "virsh dumpxml web1 | sed -n '/<interface/,/<.interface/p'")

    step(
        "virsh start",
        "libvirt runs its qemu hook, which makes the port and leases an address, before the guest runs.",
    )
    typed(hv1, "virsh start web1")
    typed(hv2, "virsh start web2")
    typed(cloud.control, "ovnhook port list")
    log_of(hv1, "web1")
    say("The same in OVN's own words, and the tap on the hypervisor:")
    typed(cloud.control, "ovn-nbctl show")
    typed(hv1, "ovs-vsctl --columns=name,external_ids find Interface 'external_ids:vm-id!=\"\"'")

    step("DHCP", "Each guest asks once, without a retry. OVN answers with the leased address.")
    web1, web2 = Guest(hv1, "web1"), Guest(hv2, "web2")
    address1, address2 = web1.wait_address(), web2.wait_address()
    inside(web1, "ip -4 addr show eth0")
    say(f"web1 on hv1 has {address1}, web2 on hv2 has {address2}.")

    step("Guest to guest, across hosts", "Through a Geneve tunnel from hv1 to hv2.")
    inside(web1, f"ping -c 3 -i 0.2 {address2}")
    prove("web1 reaches web2", lambda: web1.ping(address2).lost == 0)

    step("Names", "The guest's own host answers for the names of guests, and back.")
    inside(web1, "getent hosts web2")
    inside(web1, f"getent hosts {address2}")
    prove("web1 finds web2 by its name", lambda: address2 in web1.console("getent hosts web2"))


def tools_of_libvirt(cloud: LabCloud) -> None:
    """A domain by virt-install, which knows of networks and nothing of OVN."""
    hv2 = cloud.hypervisors[1]
    step(
        "virt-install",
        "Every subnet is a libvirt network on every hypervisor: virt-install, virt-manager, Cockpit and Terraform use "
        "it. The lab's guests boot a kernel without a disk.",
    )
    typed(hv2, "virsh net-list")
    boots = image()
    kernel = f"kernel={boots.kernel},initrd={boots.initramfs},kernel_args='{CMDLINE.format(dhcp='retry')}'"
    typed(
        hv2,
        "virt-install --name db1 --memory 96 --network network=blue --virt-type qemu --import --disk none "
        f"--osinfo linux2022 --graphics none --noautoconsole --boot {kernel}",
    )
    (address,) = until(lambda: addresses(hv2, "db1"), HANG, "libvirt to know the address of db1")
    typed(hv2, "virsh domifaddr db1")
    eventually(f"web1 reaches db1 at {address}", lambda: cloud.guest("web1").ping(address).lost == 0)


def addresses(host: LabHost, name: str) -> list[str]:
    """Addresses of a domain that libvirt knows."""
    return re.findall(r"ipv4 +([\d.]+)/", host.run(["virsh", "domifaddr", name]).stdout)


def ends_and_beginnings(cloud: LabCloud) -> None:
    """Stop and start: the port is deleted, the lease is kept."""
    hv1, web1 = cloud.host("hv1"), cloud.guest("web1")
    address1 = web1.wait_address()
    step("virsh destroy", "The port is gone from OVN, the tap from the bridge. The lease stays: web1 is still defined.")
    typed(hv1, "virsh destroy web1")
    typed(cloud.control, "ovnhook port list")
    typed(cloud.control, "ovnhook lease list")
    prove("the tap is gone", lambda: "vm-id" not in hv1.run(["ovs-vsctl", "list", "Interface"]).stdout)

    step("virsh start again", "The same address.")
    typed(hv1, "virsh start web1")
    prove(f"web1 has {address1} again", lambda: web1.wait_address() == address1)


def the_outside(cloud: LabCloud) -> None:
    """External connectivity, a floating IP, and an isolated subnet."""
    hv2, web1 = cloud.host("hv2"), cloud.guest("web1")
    address1 = web1.wait_address()
    step(
        "External connectivity through the host",
        "Subnets are on the router called gateway. The host control, which is enabled as a gateway, has an address and "
        "a default route. Guests go out through these (NAT by the host), and the host reaches guests by their address.",
    )
    hostgateway.connect(cloud.control, cloud.index("control"), OUTSIDE)
    typed(cloud.control, "ovnhook router set gateway --physical-network host")
    say("Guests get a default route when they renew their DHCP lease, which web1 does at once:")
    inside(web1, "killall -USR1 udhcpc")
    eventually("web1 reaches the outside", lambda: renewed(web1).ping(OUTSIDE).lost == 0)
    eventually("the host reaches web1", lambda: reaches(cloud.control, address1))
    typed(cloud.control, f"ping -c 1 {address1}")

    step(
        "External connectivity by an address of its own",
        "The router gets an external address, and the host an uplink for it. Guests go out with that address (SNAT). "
        "--force, since the change interrupts their external connections.",
    )
    typed(
        cloud.control,
        "ovnhook router set gateway --physical-network external --address 203.0.113.10/24 "
        f"--next-hop {OUTSIDE} --force",
    )
    eventually("web1 reaches the outside", lambda: web1.ping(OUTSIDE).lost == 0)

    step("A floating IP", "1:1 NAT to web1. It stays with web1 over stop and start.")
    typed(cloud.control, "ovnhook floating-ip create 203.0.113.20 web1")
    eventually("the outside reaches web1 at 203.0.113.20", lambda: reaches(cloud.outside, "203.0.113.20"))

    step("An isolated subnet", "Its guests reach the outside, but no other subnet, and no other subnet reaches them.")
    typed(cloud.control, "ovnhook subnet create secret 10.9.0.0/24 --isolated")
    define(hv2, "vault", METADATA.format("subnet='secret'"))
    typed(hv2, "virsh start vault")
    vault = Guest(hv2, "vault")
    address = vault.wait_address()
    eventually("vault reaches the outside", lambda: vault.ping(OUTSIDE).lost == 0)
    prove(f"web1 does not reach vault at {address}", lambda: web1.ping(address).received == 0)


def renewed(guest: Guest) -> Guest:
    """A guest that renews its DHCP lease."""
    guest.console("killall -USR1 udhcpc")
    return guest


def reaches(host: LabHost, address: str) -> bool:
    """Test whether an address answers a host's ping."""
    return host.run(["busybox", "ping", "-c", "1", "-w", "2", address], check=False).returncode == 0


def a_security_group(cloud: LabCloud) -> None:
    """A port of a running guest, closed and opened."""
    hv1, web1 = cloud.host("hv1"), cloud.guest("web1")
    web1.console("httpd -h /run")
    step(
        "A security group",
        "web1 serves HTTP. Its metadata puts it into a group without rules while it runs: nothing reaches it any more.",
    )
    eventually("the outside connects to port 80 of web1", lambda: serves(cloud.outside, "203.0.113.20"))
    typed(cloud.control, "ovnhook security-group create web")
    metadata = "<domain><interface security-groups='web'/></domain>"
    typed(hv1, f'virsh metadata web1 urn:ovnhook:domain:1 --live --config --key ovn --set "{metadata}"')
    eventually("the outside does not connect to it", lambda: not serves(cloud.outside, "203.0.113.20"))

    step("A rule", "It opens one port to all.")
    typed(cloud.control, "ovnhook security-group allow web --from any --tcp 80")
    eventually("the outside connects to port 80 of web1", lambda: serves(cloud.outside, "203.0.113.20"))
    prove("web1 does not answer its ping", lambda: not reaches(cloud.outside, "203.0.113.20"))
    prove("web1 reaches the outside", lambda: web1.ping(OUTSIDE).lost == 0)


def serves(host: LabHost, address: str) -> bool:
    """Test whether a host can connect to port 80 of an address."""
    return host.run(["timeout", "2", "bash", "-c", f"</dev/tcp/{address}/80"], check=False).returncode == 0


def when_something_is_wrong(cloud: LabCloud) -> None:
    """Invalid metadata, a stopped agent, a hanging daemon."""
    hv1, hv2 = cloud.hypervisors
    address2 = cloud.guest("web2").wait_address()
    step(
        "An invalid configuration",
        "web3's metadata requests the address of web2. The start fails at once, with the reason.",
    )
    define(hv1, "web3", METADATA.format(f"address='{address2}'"))
    typed(hv1, "virsh start web3", fails=True)
    say("Nothing is left behind. With a free address it starts:")
    hv1.run(["virsh", "undefine", "web3"])
    define(hv1, "web3", METADATA.format("address='10.1.0.200' hostname='three'"))
    typed(hv1, "virsh start web3")
    prove("web3 has the requested address", lambda: Guest(hv1, "web3").wait_address() == "10.1.0.200")

    step("Without the agent", "It is killed; a domain starts all the same: the hook does the work itself.")
    hv2.daemon("agent").kill()
    define(hv2, "web4")
    typed(hv2, "virsh start web4")
    prove("web4 has its address", lambda: bool(Guest(hv2, "web4").wait_address()))
    hv2.daemon("agent").start()

    step("undefine", "web4 is undefined, and its lease released.")
    typed(hv2, "virsh destroy web4")
    typed(hv2, "virsh undefine web4")
    eventually("web4's lease is gone", lambda: "web4" not in cloud.control.run(["ovnhook", "lease", "list"]).stdout)

    step("Health of the cloud", "ovn-controller on hv2 hangs. Each host is checked; hv2 does not answer.")
    hv2.daemon("ovn-controller").pause()
    typed(cloud.control, "ovnhook status", fails=True)
    hv2.daemon("ovn-controller").resume()
    well = ["ovnhook", "status"]
    eventually("all is well again", lambda: cloud.control.run(well, check=False).returncode == 0)


def say(words: str) -> None:
    """Print a paragraph."""
    print(textwrap.fill(words, WIDTH), flush=True)


def step(title: str, words: str) -> None:
    """Print the heading of a step."""
    print(f"\n{bold(title)}")
    say(words)


def bold(words: str) -> str:
    """A heading, bold on a terminal."""
    return f"\033[1m── {words} {'─' * (WIDTH - len(words) - 4)}\033[0m" if sys.stdout.isatty() else f"── {words}"


def typed(host: LabHost, command: str, *, fails: bool = False) -> None:
    """Run a command on a host and print it with its output."""
    print(f"\n{host.name}# {command}", flush=True)
    done = host.run(["/bin/sh", "-c", command], check=False)
    print(textwrap.indent((done.stdout + done.stderr).strip(), "  "), flush=True)
    if (done.returncode != 0) != fails:
        raise LabError(f"{host.name}: {command}: exit status {done.returncode}")


def inside(guest: Guest, command: str) -> None:
    """Run a command in a guest and print it with its output."""
    print(f"\n{guest.name}$ {command}", flush=True)
    print(textwrap.indent(guest.console(command).strip(), "  "), flush=True)


def prove(what: str, holds: Callable[[], bool]) -> None:
    """Check a condition and print it, or fail."""
    if not holds():
        raise LabError(f"check failed: {what}")
    print(f"  ✓ {what}", flush=True)


def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Check a condition that takes some time."""
    held = until(holds, HANG, what)
    prove(what, lambda: held)


def define(host: LabHost, name: str, metadata: str = "") -> None:
    """Define a domain with one interface on the integration bridge."""
    host.run(["virsh", "define", "/dev/stdin"], input=domain_xml(name, [interface_xml()], metadata=metadata))
    asks = f" with metadata {metadata}" if metadata else ""
    print(f"\n{host.name}# virsh define {name}.xml{asks}", flush=True)


def log_of(host: LabHost, domain: str) -> None:
    """Print a domain's lines of the agent's log."""
    print(f"\n{host.name}# journalctl -u ovnhook-agent    (in the lab: {host.daemon('agent').log})")
    lines = [line for line in host.daemon("agent").log.read_text(encoding="utf-8").splitlines() if domain in line]
    print(textwrap.indent("\n".join(lines), "  "), flush=True)


def picture(cloud: LabCloud) -> str:
    """Diagram of the hosts."""
    return textwrap.dedent(
        f"""
          control {cloud.management_address("control"):<15} NB, SB, northd, ovnhook-control; gateway to the outside
             │
             ├─ hv1 {cloud.management_address("hv1"):<15} libvirtd + hook, ovnhook-agent, br-int, ovn-controller ─┐
             │                                                                       Geneve │
             └─ hv2 {cloud.management_address("hv2"):<15} libvirtd + hook, ovnhook-agent, br-int, ovn-controller ─┘
        """
    )


def ending(cloud: LabCloud) -> str:
    """Running guests and suggestions."""
    lab = shlex.join(["lab/lab", *(() if cloud.prefix == "ovnhook" else ("--prefix", cloud.prefix))])
    running = "\n".join(
        f"  {guest.host.name:<8} {guest.name:<6} {guest.wait_address()}" for guest in cloud.guests() if guest.running
    )
    down = "make lab-down" + ("" if cloud.prefix == "ovnhook" else f" PREFIX={cloud.prefix}")
    return f"""
{bold("The lab stays up")}
{picture(cloud)}
{running}

Try next:
  {lab} console web1                       a shell in a guest; leave with Ctrl-]
  {lab} run hv1 virsh edit web1            put <metadata> in: docs/reference/metadata.md
  {lab} run control ovnhook subnet create green 10.2.0.0/24 --dns 10.2.0.53
  {lab} run control ovn-nbctl show
  {lab} list                               every host, daemon, guest and log
  {down:<40} take it all away
"""
