"""Open vSwitch with the userspace datapath, and ovn-controller, on one host."""

from __future__ import annotations

from pathlib import Path

from lab.daemon import Daemon
from lab.fabric import EXTERNAL, NIC, UNDERLAY
from lab.host import LabHost
from lab.waiting import HANG, accepts
from ovnhook.resources.router.values import EXTERNAL_NETWORK

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
UNDERLAY_BRIDGE = "br-phy"


def install(host: LabHost) -> None:
    """Give the host the daemons ovs-db, ovs-vswitchd and ovn-controller."""
    run = host.run_folder
    host.daemons["ovs-db"] = Daemon(
        host,
        "ovs-db",
        [
            "ovsdb-server",
            "-vsyslog:off",
            "--remote=punix:/run/openvswitch/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            "--pidfile",
            "--overwrite-pidfile",
            str(host.folder / "ovs" / "conf.db"),
        ],
        ready=lambda _: accepts(run / "openvswitch" / "db.sock"),
    )
    host.daemons["ovs-vswitchd"] = Daemon(
        host,
        "ovs-vswitchd",
        [
            "ovs-vswitchd",
            "-vsyslog:off",
            "--disable-system",
            "--pidfile",
            "--overwrite-pidfile",
            "unix:/run/openvswitch/db.sock",
        ],
        ready=_configured,
    )
    host.daemons["ovn-controller"] = Daemon(
        host,
        "ovn-controller",
        [
            "ovn-controller",
            "-vsyslog:off",
            "--pidfile",
            "--overwrite-pidfile",
            "unix:/run/openvswitch/db.sock",
        ],
        ready=lambda daemon: accepts(run / "ovn" / f"ovn-controller.{daemon.pid}.ctl"),
    )


def start(host: LabHost, *, southbound: str, tunnel: str, encapsulation: str, gateway: bool) -> None:
    """Start the switch with its bridges, then ovn-controller; ``tunnel`` is the host's underlay address/prefix."""
    database = host.folder / "ovs" / "conf.db"
    database.parent.mkdir(exist_ok=True)
    if not database.exists():
        host.run(["ovsdb-tool", "create", str(database), str(SCHEMA)])
    host.daemons["ovs-db"].start()
    host.run(_configuration(host.name, southbound, tunnel.partition("/")[0], encapsulation, gateway))
    version = host.run(["ovs-vswitchd", "--version"]).stdout.split("\n")[0].split()[-1]
    host.run(["ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", f"ovs_version={version}"])  # as ovs-ctl(8) does
    host.daemons["ovs-vswitchd"].start()
    host.run(["ip", "address", "replace", tunnel, "dev", UNDERLAY_BRIDGE])
    host.run(["ip", "link", "set", UNDERLAY_BRIDGE, "up"])
    host.daemons["ovn-controller"].start()


def wait_registered(control: LabHost, name: str) -> None:
    """Wait until the chassis is registered in the southbound database."""
    control.run(["ovn-sbctl", "wait-until", "Chassis", name])


def _configuration(name: str, southbound: str, tunnel: str, encapsulation: str, gateway: bool) -> list[str]:
    settings = {
        "system-id": name,
        "hostname": name,
        "ovn-remote": southbound,
        "ovn-encap-type": encapsulation,
        "ovn-encap-ip": tunnel,
        "ovn-bridge": "br-int",
        "ovn-bridge-datapath-type": "netdev",
    }
    bridges = [("br-int", "secure", ""), (UNDERLAY_BRIDGE, "standalone", NIC[UNDERLAY])]
    if gateway:
        settings["ovn-bridge-mappings"] = f"{EXTERNAL_NETWORK}:br-ex"
        settings["ovn-cms-options"] = "enable-chassis-as-gw"
        bridges.append(("br-ex", "standalone", NIC[EXTERNAL]))
    argv = ["ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", "."]
    argv += [f'external_ids:{key}="{value}"' for key, value in settings.items()]
    if gateway:
        argv.append("other_config:max-revalidator=100")  # docs/how-to/external-connectivity.md
    for bridge, mode, nic in bridges:
        argv += ["--", "--may-exist", "add-br", bridge]
        argv += ["--", "set", "Bridge", bridge, "datapath_type=netdev", f"fail_mode={mode}"]
        if nic:
            argv += ["--", "--may-exist", "add-port", bridge, nic]
    return argv


def _configured(daemon: Daemon) -> bool:
    """Return whether ovs-vswitchd has applied its configuration: it acknowledges a change."""
    mark = f"external_ids:lab-vswitchd={daemon.pid}"
    done = daemon.host.run(["ovs-vsctl", f"--timeout={HANG:.0f}", "set", "Open_vSwitch", ".", mark], check=False)
    return done.returncode == 0
