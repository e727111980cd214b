"""A control host that is lost, with its disk, and another one in its place: guests go on, hypervisors stay members."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.packages.guests import address, goes_on, guest, hear, start
from tests.packages.hosts import CONTROL, prepare
from tests.packages.machine import Machine

INIT = "ovnhook node init --control --no-external"


def test_another_control_host(machines: Callable[[str], Machine], tmp_path: Path) -> None:
    """It is restored from the backup, then set up; nobody has to join again."""
    control = prepare(machines(f"{CONTROL}/24"), "c1", CONTROL, ["ovnhook-control"])
    one = prepare(machines("192.0.2.2/24"), "hv1", "192.0.2.2", ["ovnhook-hypervisor"])
    control.run(INIT)
    one.run(f"echo {control.run('ovnhook node token hv1').strip()} | ovnhook node join")
    hear(one)
    start(one)
    there = address(one)
    control.run("ovnhook subnet create blue 10.1.0.0/24; ovnhook control backup /root/cloud.tar.gz")
    saved = tmp_path / "cloud.tar.gz"
    saved.write_bytes(control.path("/root/cloud.tar.gz").read_bytes())
    guest(one, "ping -i 0.1 10.128.0.1 >/run/pings 2>&1 &")

    control.power_off()
    control = prepare(machines(f"{CONTROL}/24"), "c1", CONTROL, ["ovnhook-control"])
    control.run("systemctl enable --now ovn-central")  # as apt does where it is installed with it
    # As any host is heard when it boots: the wire learns where it is now, and the other host forgets where it was.
    heard = "ping -c 1 -W 1 192.0.2.2 >/dev/null && echo yes || true"
    control.wait_for(lambda: control.run(heard) == "yes\n", "the new host to be heard")
    control.put(saved, "/root/cloud.tar.gz")
    said = control.run("ovnhook control restore /root/cloud.tar.gz")
    assert "changed    /var/lib/ovnhook/ca/ca.key is the certificate authority's key from the backup" in said
    control.run(INIT)

    control.wait_for(lambda: "ok" in control.run("ovnhook status", check=False).split(), "all to be well")
    one.wait_for(lambda: one.run("ovnhook check; echo $?", check=False).endswith("\n0\n"), "nothing to differ")
    assert "blue" in one.run("ovnhook subnet list")
    assert there in control.run("ovnhook lease list")
    goes_on(one)
    one.run("virsh destroy web1; virsh start web1")
    assert address(one) == there
