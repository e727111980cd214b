"""DHCP settings by the command, on real databases: what OVN knows, and rows that others changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.databases import integrity
from ovnhook.databases.defects import Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.ovsdb.operation import map_of
from ovnhook.resources.subnet import dhcpoptions
from tests.database.control_service import Control
from tests.database.northd import Northd
from tests.database.ovsdb_server import Server, run
from tests.dhcpvalues import ARGUMENTS

SETTINGS = (
    *("--dhcp-option", "ntp_server=192.0.2.1,192.0.2.2", "--dhcp-option", "wpad=http://10.1.0.5/wpad.dat"),
    *("--search", "lab.example", "--search", "example.org", "--route", "10.9.0.0/24=10.1.0.9", "--lease-time", "2h"),
    *("--boot-server", "10.1.0.5", "--boot-file", "pxelinux.0", "--ipxe", "http://10.1.0.5/boot.ipxe"),
)
SHOWN = {
    "search": ["lab.example", "example.org"],
    "routes": ["10.9.0.0/24=10.1.0.9"],
    "lease_time": 7200,
    "boot_server": "10.1.0.5",
    "boot_file": "pxelinux.0",
    "ipxe": "http://10.1.0.5/boot.ipxe",
    "extra_dhcp_options": ["ntp_server=192.0.2.1,192.0.2.2", "wpad=http://10.1.0.5/wpad.dat"],
}


def options(control: Control) -> dict[str, str]:
    """The DHCPv4 options of subnet blue."""
    return map_of(control.northbound.dump()["DHCP_Options"][str(uuids.dhcp_options("blue"))]["options"])


def test_a_table_that_ovn_agrees_with(directory: Path, northbound: Server, southbound: Server) -> None:
    """Every option of ours is in the southbound database, with its type."""
    with Northd(directory, northbound, southbound):
        known = {row["name"]: row["type"] for row in southbound.dump()["DHCP_Options"].values()}
    ours = dhcpoptions.EXTRA | {name: kind for name, (kind, _) in dhcpoptions.SETTINGS.items()}
    assert {name: kind.value for name, kind in ours.items()}.items() <= known.items()


def test_all_options_at_once(directory: Path, control: Control) -> None:
    """OVN can parse the flow that answers DHCP with all of them, which it would drop for a single invalid value."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--domain", "lab.example")
    control.attach("web1", "blue", "10.1.0.20")
    (port,) = control.done("port", "list", "--format", "json").json
    packet = (
        f'inport == "{port["id"]}" && eth.src == {port["mac"]} && eth.dst == ff:ff:ff:ff:ff:ff && udp.src == 68'
        " && udp.dst == 67 && ip4.src == 0.0.0.0 && ip4.dst == 255.255.255.255 && ip.ttl == 64"
    )
    with Northd(directory, control.northbound, control.southbound) as northd:
        for settings in (SETTINGS, ("--no-boot", "--no-search", "--no-route", *ARGUMENTS)):
            control.done("subnet", "set", "blue", *settings)
            northd.sync()
            traced = subprocess.run(
                ["ovn-trace", f"--db={control.southbound.remote}", "blue", packet],
                capture_output=True,
                text=True,
                timeout=HANG,
                check=True,
            )
            (answered,) = (line for line in traced.stdout.splitlines() if "put_dhcp_opts(" in line)
            assert [name for name in options(control) if name != "server_mac" and f"{name} = " not in answered] == []
            assert "parsing" not in traced.stderr


def test_settings_by_the_command(control: Control) -> None:
    """Create and set do the same; an empty list or a reset removes; a second create has nothing to do."""
    made = control.done("subnet", "create", "blue", "10.1.0.0/24", *SETTINGS, "--format", "json").json
    assert made.items() >= SHOWN.items()
    created = options(control)
    before = control.northbound.dump(versions=True)
    control.done("subnet", "create", "blue", "10.1.0.0/24", *SETTINGS)
    assert control.northbound.dump(versions=True) == before
    error, _ = control.refused(4, "subnet", "create", "blue", "10.1.0.0/24", *SETTINGS, "--lease-time", "1h")
    assert error == "subnet blue exists with different settings: its lease time is 7200 s, not 3600 s"

    resets = ("--no-dhcp-option", "--no-search", "--no-route", "--no-lease-time", "--no-boot")
    reset = control.done("subnet", "set", "blue", *resets, "--format", "json").json
    assert [reset[name] for name in SHOWN] == [[], [], 3600, "", "", "", []]
    assert options(control).keys() < created.keys()
    shown = control.done("subnet", "set", "blue", *SETTINGS, "--format", "json").json
    assert shown.items() >= SHOWN.items()
    assert options(control) == created

    error, _ = control.refused(2, "subnet", "set", "blue", "--no-boot", "--ipxe", "http://10.1.0.5/")
    assert error == "--ipxe and --no-boot are mutually exclusive"
    error, _ = control.refused(2, "subnet", "set", "blue", "--lease-time", "soon")
    assert "'soon' is not a duration like 90s, 30m, 12h or 7d" in error


def test_options_that_others_set(control: Control) -> None:
    """They stay when settings change, and when the row is repaired; ours come back."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", *SETTINGS)
    ours = options(control)
    row = str(uuids.dhcp_options("blue"))
    nbctl = ("ovn-nbctl", f"--db={control.northbound.remote}")
    run(*nbctl, "set", "DHCP_Options", row, "options:log_server=192.0.2.9", "options:lease_time=60")
    run(*nbctl, "remove", "DHCP_Options", row, "options", "ntp_server")
    database, deadline = Northbound(control.northbound.remote), Deadline.after(HANG)
    found = integrity.read(database, Integrity(), deadline)
    assert [one.what for one in found.defects] == ["DHCP_Options of subnet blue was changed: options"]
    integrity.repair(database, found, deadline)
    assert options(control) == ours | {"log_server": "192.0.2.9"}
    control.done("subnet", "set", "blue", "--no-dhcp-option", "--no-boot")
    assert options(control)["log_server"] == "192.0.2.9"
    assert not {"ntp_server", "wpad", "bootfile_name"} & options(control).keys()


def test_routes_follow_the_router(control: Control) -> None:
    """To other subnets without an external gateway, else the default route; what an earlier version wrote is gone."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    assert routes(control) == (None, "{10.2.0.0/24,10.1.0.1}")
    control.done("subnet", "create", "vault", "10.3.0.0/24", "--isolated")
    assert routes(control) == (None, "{10.2.0.0/24,10.1.0.1}")
    external = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.1")
    control.done("router", "set", "gateway", *external)
    assert routes(control) == ("10.1.0.1", None)
    control.done("router", "set", "gateway", "--no-external")
    assert routes(control) == (None, "{10.2.0.0/24,10.1.0.1}")
    control.done("subnet", "delete", "green")
    assert routes(control) == (None, None)


def test_an_earlier_version_beside(control: Control) -> None:
    """What it writes is removed: its routers by the first check only, as it adds them again while it runs."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
    set_options(control, router="10.1.0.1")
    database, deadline = Northbound(control.northbound.remote), Deadline.after(HANG)
    first = integrity.read(database, Integrity(), deadline)
    again = integrity.read(database, first, deadline)
    for found in (first, again):
        assert [one.what for one in found.defects] == ["DHCP_Options of subnet blue has router of an earlier version"]
    integrity.repair(database, again, deadline)
    assert routes(control) == (None, None)
    without = integrity.read(database, again, deadline)
    set_options(control, router="10.1.0.1")
    assert integrity.read(database, without, deadline).defects == ()

    # It gave the router an external gateway.
    external = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.1")
    control.done("router", "set", "gateway", *external, "--address6", "2001:db8::10/64", "--next-hop6", "2001:db8::1")
    assert routes(control) == ("10.1.0.1", None)
    set_options(control, classless_static_route='"{10.2.0.0/24,10.1.0.1}"')
    port = ("Logical_Router_Port", "subnet:blue:gateway")
    for one in ("router_preference=LOW", 'route_info="MEDIUM-fd00:2::/64"'):
        run("ovn-nbctl", f"--db={control.northbound.remote}", "set", *port, f"ipv6_ra_configs:{one}")
    found = integrity.read(database, without, deadline)
    assert len(found.repairable) == 3
    integrity.repair(database, found, deadline)
    assert routes(control) == ("10.1.0.1", None)
    assert integrity.read(database, found, deadline).defects == ()
    set_options(control, classless_static_route='"{10.2.0.0/24,10.1.0.1, 0.0.0.0/0,10.1.0.1}"')
    assert integrity.read(database, found, deadline).defects == ()


def set_options(control: Control, **values: str) -> None:
    """Set DHCP options of subnet blue by hand."""
    row = str(uuids.dhcp_options("blue"))
    for name, value in values.items():
        run("ovn-nbctl", f"--db={control.northbound.remote}", "set", "DHCP_Options", row, f"options:{name}={value}")


def routes(control: Control) -> tuple[str | None, str | None]:
    """Router and static routes of subnet blue."""
    found = options(control)
    return found.get("router"), found.get("classless_static_route")
