"""A cloud of three hosts that boot: a control host, a hypervisor, a hypervisor that is the gateway too."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from ovnhook.pki import keyfiles, x509
from tests.packages.guests import address, guest, install, lost, reaches, start
from tests.packages.hosts import CONTROL, OUTSIDE, prepare
from tests.packages.machine import Machine, packages
from tests.packages.northbound import ways

INIT = "ovnhook node init --control --external-cidr 203.0.113.10/24 --next-hop 203.0.113.254"
GATEWAY = "--gateway --external-interface eth1"
SOUTHBOUND = 6642
LOCAL = "unix:/run/ovn/ovnnb_db.sock"


def changed(said: str) -> list[str]:
    """What a set-up had to change."""
    return [line for line in said.splitlines() if not line.startswith("unchanged  ")]


def serves(machine: Machine, shown: str) -> bool:
    """Whether the southbound database on the control host serves who shows files of this name."""
    files = f"--private-key={shown}.key --certificate={shown}.pem --ca-cert=/etc/ovnhook/certificates/ca.pem"
    said = machine.run(f"ovsdb-client --timeout=5 {files} list-dbs ssl:{CONTROL}:{SOUTHBOUND} 2>&1", check=False)
    return "OVN_Southbound" in said


def test_three_hosts(machines: Callable[[str], Machine], tmp_path: Path) -> None:
    """They join, guests reach each other and the outside, certificates are renewed and taken back."""
    control = prepare(machines(f"{CONTROL}/24"), "c1", CONTROL, ["ovnhook-control"])
    one = prepare(machines("192.0.2.2/24"), "hv1", "192.0.2.2", ["ovnhook-hypervisor"])
    two = prepare(machines("192.0.2.3/24"), "hv2", "192.0.2.3", ["ovnhook-hypervisor"])
    two.run(OUTSIDE)

    control.run(INIT)
    assert changed(control.run(INIT)) == []
    tokens = {name: control.run(f"ovnhook node token {name}").strip() for name in ("hv1", "hv2")}
    assert "not a token" in one.run(f"echo {tokens['hv1'][:60]} | ovnhook node join - || true")
    one.run(f"echo {tokens['hv1']} | ovnhook node join -")
    assert changed(one.run(f"echo {tokens['hv1']} | ovnhook node join -")) == []
    warning, hint = changed(one.run(f"ovnhook node join {tokens['hv1']}"))
    assert "all users of this host can read a token on the command line" in warning
    assert hint.startswith("hint: ")
    two.run(f"echo {tokens['hv2']} >/root/token; ovnhook node join /root/token {GATEWAY}")

    start(one, "web1")
    start(two, "web2")
    first, second = address(one, "web1"), address(two, "web2")
    reaches(one, "web1", second)
    reaches(two, "web2", first)
    reaches(one, "web1", "203.0.113.254")
    control.run("ovnhook floating-ip create 203.0.113.20 web1")
    ping = "ip netns exec outside ping -c 1 -W 2 203.0.113.20 || true"
    two.wait_for(lambda: " 0% packet loss" in two.run(ping), "web1 to be reached from outside")
    control.wait_for(lambda: "ok" in control.run("ovnhook status", check=False).split(), "all to be well")
    assert re.findall(r"^hv\d", one.run("ovnhook node list"), re.MULTILINE) == ["hv1", "hv2"]  # by its certificate
    assert "error: node hv1 may not call" in one.run("ovnhook subnet create other 10.9.0.0/24 || true")

    for node in (one, two):
        assert ways(node, [CONTROL]) == set()
        assert "northbound" not in node.path("/etc/ovnhook/ovnhook.toml").read_text()
    assert ways(control, [CONTROL]) == {LOCAL}
    nobody_else(control, one, tmp_path)
    listens_nowhere_else(control, one)
    renewed(control, one)

    one.power_off()
    one.boot()
    assert address(one, "web1") == first
    reaches(one, "web1", "203.0.113.254")

    removed(control, two, tokens["hv2"])
    one.run("apt-get -qy purge ovnhook-hypervisor python3-ovnhook")
    assert "ovnhook" not in one.run("ovs-vsctl get-ssl; ovs-vsctl get open . external_ids")


def test_three_control_hosts(machines: Callable[[str], Machine]) -> None:
    """One becomes three while a guest's packets go on; nodes learn of it; one dies, is removed, and all goes on."""
    addresses = {f"c{number}": f"192.0.2.{number}" for number in (1, 2, 3)}
    hosts = {name: prepare(machines(f"{own}/24"), name, own, ["ovnhook-control"]) for name, own in addresses.items()}
    first, second, third = hosts.values()
    node = prepare(machines("192.0.2.4/24"), "hv1", "192.0.2.4", ["ovnhook-hypervisor"])
    first.run("ovnhook node init --control --no-external")
    node.run(f"echo {first.run('ovnhook node token hv1').strip()} | ovnhook node join")
    start(node)
    there = address(node)
    guest(node, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &")

    member = "ovnhook node init --control --cluster"
    first.run(member)
    for number, host in enumerate((second, third), 2):
        token = first.run(f"ovnhook node token c{number} --control").strip()
        assert "this token is for a control host" in node.run(f"echo {token} | ovnhook node join || true")
        host.run(f"echo {token} | {member} --token -")
        assert changed(host.run(f"echo {token} | {member} --token -")) == []
    for host in (first, second):
        host.run(member)  # it learns of those that came after it
    for host in hosts.values():
        assert changed(host.run(member)) == []
        assert host.run("stat -c '%a %U' /var/lib/ovnhook/ca/ca.key") == "600 root\n"
    node.run("systemctl start ovnhook-renew")
    everywhere = ",".join(f"ssl:{own}:6642" for own in addresses.values())
    assert everywhere in node.run("ovs-vsctl get open . external_ids:ovn-remote")
    second.wait_for(lambda: "ok" in second.run("ovnhook status", check=False).split(), "all to be well")
    fails_over(second)
    own = "/etc/ovnhook/certificates/node"
    for port in (6641, 6643, 6644, 16642):
        asked = f"timeout 5 openssl s_client -connect 192.0.2.1:{port} -cert {own}.pem -key {own}.key </dev/null 2>&1"
        assert "BEGIN CERTIFICATE" not in node.run(asked, check=False)
        assert "BEGIN CERTIFICATE" in second.run(asked.replace(own, "/var/lib/ovnhook/ca/control"), check=False)

    assert ways(node, [*addresses.values()]) == set()
    assert ways(second, [*addresses.values()]) == {LOCAL, *(f"ssl:{own}:6641" for own in addresses.values())}

    assert "control host c1 is running" in second.run("ovnhook node remove c1 2>&1 || true")
    assert lost(node) == 0
    first.power_off()
    node.run("virsh destroy web1; virsh start web1")
    assert address(node) == there
    third.run("ovnhook subnet create blue 10.1.0.0/24")
    # As if the cluster could not be told: the control host is removed, its servers are still members.
    second.run("python3 -c \"from ovnhook.api.client import Client; Client(None).call('RemoveNode', name='c1')\"")
    assert "192.0.2.1" in third.run("ovn-appctl -t /run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound")
    second.run("ovnhook node remove c1")
    assert "there is no node 'c1'" in second.run("ovnhook node remove c1 2>&1 || true")
    assert "c1" not in third.run("ovnhook certificate list")
    assert "192.0.2.1" not in third.run("ovn-appctl -t /run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound")
    assert "blue" in node.run("ovnhook subnet list")


def fails_over(host: Machine) -> None:
    """A control host that becomes a hypervisor uses the other members while its own services are away."""
    hypervisor = [deb for deb in packages() if deb.name.startswith("ovnhook-hypervisor")]
    install(host, hypervisor)
    join = f"echo {host.run('ovnhook node token c2').strip()} | ovnhook node join"
    host.run(join)
    assert changed(host.run(join)) == []
    assert changed(host.run("ovnhook node renew")) == []
    assert 'control = "192.0.2.1:6645,192.0.2.3:6645"' in host.run("cat /etc/ovnhook/ovnhook.toml")
    host.run("systemctl stop ovnhook-control ovn-ovsdb-server-sb")
    start(host, "web2")
    assert address(host, "web2")
    host.run("systemctl start ovn-central ovn-ovsdb-server-sb ovn-northd ovnhook-control")
    host.run("virsh destroy web2; virsh undefine web2")
    host.wait_for(lambda: "ok" in host.run("ovnhook status", check=False).split(), "all to be well")


def nobody_else(control: Machine, node: Machine, tmp_path: Path) -> None:
    """Beyond loopback all that listens wants a certificate: a good one, of this authority."""
    listening = {line.split()[3] for line in control.run("ss -Htln").splitlines()}
    ports = {int(one.rpartition(":")[2]) for one in listening if not one.startswith(("127.", "[::1]"))}
    assert ports == {SOUTHBOUND, 6645, 6646}
    # The relay of guests' DNS queries listens on its link to their resolvers, and the packet filter keeps others away.
    listening = {line.split()[3] for line in node.run("ss -Htln").splitlines()}
    assert {one for one in listening if not one.startswith(("127.", "169.254."))} == set()
    files = keyfiles.AuthorityFiles(control.path("/var/lib/ovnhook/ca"))
    authority = files.load()
    subject = x509.Subject("hv1", x509.NODE)
    anchor = anchor_of(keyfiles.node(node.path("/etc/ovnhook/certificates")), files)
    other = x509.Authority.new()
    key = x509.new_key()
    request = x509.request(key)
    shown = {
        "good": authority.issue(request, subject, anchor),
        "expired": authority.issue(request, subject, anchor, timedelta(minutes=-1)),
        "strange": other.issue(request, subject, other.anchor(subject)),
        "stale": authority.issue(request, subject, authority.anchor(subject)),
    }
    for name, certificate in shown.items():
        node.path(f"/root/{name}.pem").write_bytes(certificate)
        node.path(f"/root/{name}.key").write_bytes(key)
    assert {name: serves(node, f"/root/{name}") for name in shown} == {name: name == "good" for name in shown}
    assert "OVN" not in node.run(f"ovsdb-client --timeout=5 list-dbs tcp:{CONTROL}:{SOUTHBOUND}", check=False)
    for path, mode in (("/var/lib/ovnhook/ca/ca.key", "600"), ("/var/lib/ovnhook/ca/control.key", "600")):
        assert control.run(f"stat -c '%a %U' {path}") == f"{mode} root\n"
    assert node.run("stat -c '%a %U' /etc/ovnhook/certificates/node.key") == "600 root\n"


def listens_nowhere_else(control: Machine, node: Machine) -> None:
    """Rows of the northbound database make no server of the control host listen, connect or unlink.

    They are taken out, and the status tells of them. A node can't write such rows of the southbound database.
    """
    own = "/etc/ovnhook/certificates"
    shown = f"-p {own}/node.key -c {own}/node.pem -C {own}/ca.pem --timeout=10 --no-leader-only"
    north, south = "ovn-nbctl --timeout=10", f"ovn-sbctl {shown} --db=ssl:{CONTROL}:{SOUTHBOUND}"
    victims = ("/var/lib/ovnhook/ca/ca.key", "/var/lib/ovnhook/ca/ledger.json", "/root/victim")
    control.run("touch /root/victim")
    before = control.run(f"sha256sum {' '.join(victims)}")
    listening = sorted(line.split()[3] for line in control.run("ss -Htln").splitlines())
    targets = [*(f"punix:{victim}" for victim in victims), "ptcp:16641:0.0.0.0", "pssl:16643", "tcp:192.0.2.2:7777"]
    accepting = node.path("/root/accept.py")
    accepting.write_text("import socket\ns = socket.create_server(('', 7777))\ns.accept()\nopen('/root/called', 'w')\n")
    node.run("systemd-run --unit=accept python3 /root/accept.py")
    for target in targets:
        control.run(f"""{north} -- --id=@c create connection target='"{target}"' -- add NB_Global . connections @c""")
        refused = f"""{south} -- --id=@c create connection target='"{target}"' -- add SB_Global . connections @c"""
        assert "permission error" in node.run(f"{refused} 2>&1 || true")
    control.run(f"{north} set-ssl /a /b /c; {north} set ssl . ssl_ciphers=none ssl_protocols=TLSv1")
    gone = "ovn-nbctl get-connection; ovn-nbctl get-ssl"
    control.wait_for(lambda: "/" not in control.run(gone) and "16641" not in control.run(gone), "the rows to be gone")
    said = control.run("ovnhook status", check=False)
    assert all(f"now removed: Connection '{target}'" in said for target in targets)
    assert "now removed: SSL '/a', '/b', '/c'" in said
    assert control.run(f"sha256sum {' '.join(victims)}") == before
    assert sorted(line.split()[3] for line in control.run("ss -Htln").splitlines()) == listening
    assert not node.path("/root/called").exists()
    assert control.run(f"{north} ls-list")
    control.run("systemctl restart ovn-ovsdb-server-nb")  # also a server that starts with such rows
    control.wait_for(lambda: "main" in control.run(f"{north} ls-list", check=False), "the database to be back")
    assert sorted(line.split()[3] for line in control.run("ss -Htln").splitlines()) == listening
    control.run("systemctl restart ovnhook-control")  # and what was told is told no more


def renewed(control: Machine, node: Machine) -> None:
    """Certificates that are about to end are renewed while a guest's packets go on; no service is started again.

    Afterwards, when the old ones have ended, everybody who comes anew shows the new ones.
    """
    files, own = (
        keyfiles.AuthorityFiles(control.path("/var/lib/ovnhook/ca")),
        keyfiles.node(node.path("/etc/ovnhook/certificates")),
    )
    authority = files.load()
    anchor = anchor_of(own, files)
    guest(node, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &", "web1")
    units = "systemctl show -P InvocationID ovn-controller ovnhook-agent openvswitch-switch"
    before = node.run(units)
    soon = timedelta(seconds=15)
    request, subject = x509.request(own.key.read_bytes()), x509.Subject("hv1", x509.NODE)
    keyfiles.replace_certificate(own, authority.issue(request, subject, anchor, soon))
    request = x509.request(files.databases.key.read_bytes())
    keyfiles.replace_certificate(files.databases, authority.issue_server(request, "c1", [CONTROL], soon))
    reconnect(control)
    ports = (SOUTHBOUND, 6645)
    old = {x509.fingerprint(files.databases.certificate.read_bytes())}
    control.wait_for(lambda: {shown(control, port) for port in ports} == old, "the short certificate to be shown")
    for machine in (control, node):
        machine.run("systemctl is-active ovnhook-renew.timer; systemctl start ovnhook-renew")
    new = {x509.fingerprint(files.databases.certificate.read_bytes())}
    assert new != old
    assert not x509.needs_renewal(own.certificate.read_bytes())
    control.run(f"sleep {soon.seconds}")
    reconnect(control)
    # A database that was idle sees only while it serves the next one that it has a new certificate.
    control.wait_for(lambda: {shown(control, port) for port in ports} == new, "the new certificate to be shown")
    control.wait_for(lambda: "ok" in control.run("ovnhook status", check=False).split(), "all to be well")
    assert re.findall(r"^hv\d", node.run("ovnhook node list"), re.MULTILINE) == ["hv1", "hv2"]
    assert node.run(units) == before
    assert lost(node) == 0


def anchor_of(own: keyfiles.Files, files: keyfiles.AuthorityFiles) -> bytes:
    """What a node is trusted by."""
    name = x509.issuer_of(own.certificate.read_bytes())
    return next(one for one in x509.split(files.databases.ca.read_bytes()) if x509.name_of(one) == name)


def reconnect(control: Machine) -> None:
    """Everybody comes to the databases again, with what he has now."""
    for name in ("nb", "sb"):
        control.run(f"ovs-appctl -t /run/ovn/ovn{name}_db.ctl ovsdb-server/reconnect")


def shown(control: Machine, port: int) -> str:
    """The fingerprint of the certificate that is shown at a port."""
    said = control.run(f"openssl s_client -connect {CONTROL}:{port} -alpn h2 </dev/null 2>/dev/null", check=False)
    return x509.fingerprint(x509.split(said.encode())[0])


def removed(control: Machine, node: Machine, used: str) -> None:
    """A node that was removed is shut out when it comes back, until it joins anew."""
    node.power_off()
    control.wait_for(
        lambda: "error" not in control.run("ovnhook node remove hv2 2>&1", check=False), "hv2 to be gone", 150
    )
    assert "hv2" not in control.run("ovnhook node list; ovnhook certificate list; ovnhook lease list")
    node.boot()
    node.run(OUTSIDE)
    assert not serves(node, "/etc/ovnhook/certificates/node")
    assert "error: " in node.run("ovnhook node list || true")
    assert "invalid, used or expired join token" in node.run(f"echo {used} | ovnhook node join {GATEWAY} || true")
    assert "hv2" not in control.run("ovn-sbctl --bare --columns=name list Chassis")
    token = control.run("ovnhook node token hv2").strip()
    node.run(f"echo {token} | ovnhook node join {GATEWAY}")
    assert "hv2" in control.run("ovnhook node list")
