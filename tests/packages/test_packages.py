"""The packages on machines that boot: installed, used, rebooted, upgraded, removed, purged."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.packages.guests import QEMU_CONF, address, guest, install, lost, start
from tests.packages.machine import DIST, REPO, Machine, newer, packages

DEBIAN = REPO / "packaging" / "debian"

SET_UP = """
ovs-vsctl set open . external-ids:system-id=hv1 external-ids:ovn-remote=unix:/run/ovn/ovnsb_db.sock
ovs-vsctl set open . external-ids:ovn-encap-type=geneve external-ids:ovn-encap-ip=127.0.0.1
ovs-vsctl set open . external-ids:ovn-bridge-datapath-type=netdev
ovs-vsctl --may-exist add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure
"""
"""All in one, without a kernel module."""


def test_a_life_of_the_packages(machine: Machine, tmp_path: Path) -> None:
    """From apt install to purge, with a guest that runs, is there again after a reboot, and never misses a packet."""
    machine.path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    machine.run("systemctl restart libvirtd")
    debs = packages()
    install(machine, debs)
    for unit in ("ovnhook-agent", "ovnhook-control"):
        machine.wait_for(lambda: machine.run(f"systemctl is-active {unit}", check=False) == "active\n", unit)  # noqa: B023
    for unit in ("ovnhook-agent", "ovnhook-control", "ovnhook-renew", "ovnhook-fence", "ovnhook-uplink@eth1"):
        exposure = machine.run(f"systemd-analyze security --no-pager {unit} | tail -1")
        assert float(re.findall(r"(\d+\.\d+)", exposure)[0]) < 4.0
    machine.run(SET_UP)
    machine.run("ovnhook subnet create blue 10.1.0.0/24 --default")

    machine.wait_for(lambda: "blue" in machine.run("virsh net-list --name").split(), "the network of the subnet")
    start(machine)
    first = address(machine)
    assert first in machine.run("ovnhook lease list")
    machine.wait_for(lambda: "ok" in machine.run("ovnhook status", check=False).split(), "all to be well")

    machine.power_off()
    machine.boot()
    assert address(machine) == first
    resolves = f"until nslookup -type=a web1. 10.1.0.2 | grep -q {first}; do sleep 1; done; echo resolves"
    assert "resolves" in guest(machine, resolves)
    confined(machine)
    assert guest(machine, "until ping -c 1 -W 2 10.1.0.1; do :; done")

    guest(machine, "ping -i 0.1 10.1.0.1 >/run/pings 2>&1 &")
    said = install(machine, newer(debs, tmp_path))
    assert "+next" in said
    machine.wait_for(lambda: machine.run("systemctl is-active ovnhook-agent", check=False) == "active\n", "the agent")
    assert "+next" in machine.run("dpkg -l ovnhook-hypervisor")
    assert lost(machine) == 0

    ports = machine.run("ovn-nbctl --bare --columns=name list Logical_Switch_Port")
    machine.run("apt-get -qy remove ovnhook-hypervisor ovnhook-control python3-ovnhook")
    assert machine.run("ovn-nbctl --bare --columns=name list Logical_Switch_Port") == ports
    said = machine.run("virsh destroy web1; virsh start web1")  # the hook of a removed package must not be in the way
    assert "for good: apt purge ovnhook-hypervisor" in said + machine.run("journalctl -t ovnhook-hook --no-pager")
    nothing_dangles(machine)
    machine.run("apt-get -qy purge ovnhook-hypervisor ovnhook-control python3-ovnhook")
    left = machine.run("find / -xdev -name '*ovnhook*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/*'")
    assert left == ""
    assert "blue" not in machine.run("virsh net-list --all --name")
    nothing_dangles(machine)
    left = "pgrep -x dnsmasq; ovs-vsctl list-ports br-int | grep ovnr; ls -d /sys/class/net/ovnu* /run/ovnhook"
    assert machine.run(f"{{ {left}; nft list tables; }} 2>/dev/null", check=False) == ""


def confined(machine: Machine) -> None:
    """The guests' DNS servers are not root, have no capability and get none, and own no file."""
    pids = machine.run("pgrep -x dnsmasq").split()
    assert len(pids) == 2
    for pid in pids:
        lines = machine.run(f"cat /proc/{pid}/status").splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        assert "0" not in status["Uid"]
        assert {int(status[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    assert machine.run("find /run/ovnhook ! -user root") == ""


def nothing_dangles(machine: Machine) -> None:
    """No link to a unit that is gone."""
    assert machine.run("find /etc/systemd -name '*ovnhook*' 2>/dev/null || true") == ""


def test_a_control_host_that_is_purged(machine: Machine, tmp_path: Path) -> None:
    """An upgrade stops nothing and opens nothing; a removed package comes back as it was; a purge leaves nothing."""
    install(machine, [deb for deb in packages() if "hypervisor" not in deb.name])
    machine.run("ip address add 192.0.2.1/24 dev lo; ip route add 192.0.2.2 dev lo")
    machine.run("ovnhook node init --control --address 192.0.2.1")
    units = "systemctl is-active ovnhook-renew.timer ovnhook-control; systemctl is-enabled ovnhook-renew.timer"
    assert machine.run(f"stat -c %a /var/lib/ovnhook; {units}").split() == ["700", "active", "active", "enabled"]
    install(machine, [deb for deb in newer(packages(), tmp_path) if "hypervisor" not in deb.name])
    assert machine.run(f"stat -c %a /var/lib/ovnhook; {units}").split() == ["700", "active", "active", "enabled"]

    said = machine.run("apt-get -qy remove ovnhook-control python3-ovnhook")
    assert "including the certificate authority in /var/lib/ovnhook" in said
    assert ":6642" in machine.run("ss -Htln")  # nodes go on
    assert machine.run("find /etc/systemd -name 'ovnhook-*'; ls /run | grep ovnhook || true") == ""
    install(machine, [deb for deb in packages() if "hypervisor" not in deb.name])
    machine.wait_for(lambda: "ok" in machine.run("ovnhook status", check=False).split(), "all to be well")
    assert machine.run(units).split() == ["active", "active", "enabled"]
    assert [
        line
        for line in machine.run("ovnhook node init --control --address 192.0.2.1").splitlines()
        if not line.startswith("unchanged  ")
    ] == []

    machine.run("apt-get -qy purge ovnhook-control python3-ovnhook")
    assert (
        machine.run(
            "find / -xdev -name '*ovnhook*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/cache/*'"
            " -not -path '/var/log/*'"
        )
        == ""
    )
    assert "ovnhook" not in machine.run(
        "ovn-nbctl get-ssl; ovn-sbctl get-ssl; ovn-sbctl get-connection; nft list tables"
    )
    assert not {":6641", ":6642"} & {
        f":{line.split()[3].rpartition(':')[2]}" for line in machine.run("ss -Htln").splitlines()
    }
    machine.run("systemctl restart ovn-ovsdb-server-nb ovn-ovsdb-server-sb")
    there = "ovn-nbctl --timeout=20 ls-list && ovn-sbctl --timeout=20 show && echo there"
    machine.wait_for(lambda: "there" in machine.run(there, check=False).split(), "both databases to be back")
    assert ":664" not in machine.run("ss -Htln")


def test_what_debian_would_run(machine: Machine) -> None:
    """The tests that the packages bring for autopkgtest(1), on a machine of their own."""
    install(machine, packages())
    folder = DEBIAN / "tests"
    names = re.findall(r"^Tests: (.+)$", (folder / "control").read_text(), re.MULTILINE)
    assert {path.name for path in folder.iterdir()} == {"control", *names}
    for name in names:
        machine.put(folder / name, f"/root/{name}")
        machine.run(f"cd /root && sh ./{name}")


def test_lintian_has_nothing_to_say() -> None:
    """Neither errors nor warnings, and nothing is overridden."""
    packages()
    (changes,) = DIST.glob("*.changes")
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--no-tag-display-limit", "--allow-root", changes],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert not list(DEBIAN.rglob("*lintian-overrides*"))
