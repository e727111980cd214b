"""Subnets by the control service and the command, on a real database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from lab.waiting import HANG
from ovnhook.api.client import Client
from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, OvnhookError
from tests.database.control_service import Control
from tests.database.southbound_rows import add_chassis


def test_a_life_of_a_subnet(control: Control) -> None:
    """Make, show, list, set, delete; in the database are just the rows of it."""
    made = control.done(
        "subnet", "create", "blue", "10.1.0.0/24", "--default", "--gateway", "10.1.0.254", "--dns", "10.1.0.53",
        "--dns", "192.0.2.53", "--domain", "lab.example", "--range", "10.1.0.10-10.1.0.19", "--mtu", "1400",
        "--format", "json",
    ).json  # fmt: skip
    assert made == {
        "name": "blue",
        "cidr": "10.1.0.0/24",
        "gateway": "10.1.0.254",
        "cidr6": "",
        "gateway6": "",
        "router": "gateway",
        "ranges": ["10.1.0.10-10.1.0.19"],
        "dns": ["10.1.0.53", "192.0.2.53"],
        "resolvers": ["10.1.0.1"],
        "dns_domain": "lab.example",
        "search": [],
        "routes": [],
        "lease_time": 3600,
        "boot_server": "",
        "security_groups": [],
        "limit_inbound": "",
        "limit_outbound": "",
        "boot_file": "",
        "ipxe": "",
        "extra_dhcp_options": [],
        "mtu": 1400,
        "default": True,
        "isolated": False,
        "used": 0,
        "capacity": 10,
        "network_id": 0,
        "logical_switch": str(uuids.switch("blue")),
        "dhcp_options": [str(uuids.dhcp_options("blue"))],
        "names": str(uuids.dns_records("blue")),
        "virtual_addresses": [],
    }
    assert list(made)[:2] == ["name", "cidr"]
    rows = control.northbound.dump()
    assert rows["Logical_Switch"][made["logical_switch"]]["name"] == "blue"
    (uuid,) = made["dhcp_options"]
    options = dict(rows["DHCP_Options"][uuid]["options"][1])
    assert not {"router", "classless_static_route"} & options.keys()  # there is nothing behind its router
    assert options["mtu"] == "1400"
    assert options["dns_server"] == "{10.1.0.53, 192.0.2.53}"

    assert control.done("subnet", "show", "blue", "--format", "json").json == made
    assert control.done("subnet", "list", "--format", "json").json == [made]
    assert yaml.safe_load(control.done("subnet", "list", "--format", "yaml").out) == [made]

    changed = control.done(
        "subnet", "set", "blue", "--no-gateway", "--no-router", "--no-range", "--dns", "10.1.0.1", "--no-domain"
    )
    assert ["gateway", "10.1.0.1"] in changed.table
    after = control.done("subnet", "show", "blue", "--format", "json").json
    assert after == {
        **made, "gateway": "10.1.0.1", "router": "", "ranges": [], "dns": ["10.1.0.1"], "dns_domain": "",
        "resolvers": ["10.1.0.2"], "capacity": 252,
    }  # fmt: skip
    assert "router" not in dict(control.northbound.dump()["DHCP_Options"][uuid]["options"][1])

    assert control.done("subnet", "delete", "blue").out == ""
    assert control.done("subnet", "list", "--format", "json").json == []
    rows = control.northbound.dump()
    assert (rows["Logical_Switch"], rows["DHCP_Options"]) == ({}, {})
    assert control.refused(3, "subnet", "delete", "blue")[0] == "there is no subnet 'blue'"


def test_tables(control: Control) -> None:
    """One line for each, with headings, and no colour or trailing space where nobody looks at a terminal."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--dns", "10.1.0.53")
    listed = control.done("subnet", "list")
    assert listed.table == [
        ["NAME", "CIDR", "GATEWAY", "ROUTER", "DNS", "DOMAIN", "MTU", "USED", "DEFAULT", "ISOLATED"],
        ["blue", "10.1.0.0/24", "10.1.0.1", "gateway", "10.1.0.53", "-", "1442", "0/252", "yes", "no"],
    ]
    assert "\x1b" not in listed.out
    assert all(line == line.rstrip() for line in listed.out.splitlines())
    assert control.done("lease", "list").table == [
        ["SUBNET", "ADDRESS", "DOMAIN", "MAC", "HOSTNAME", "HOST", "IN", "USE"]
    ]


def test_to_make_again_what_is_already_so(control: Control) -> None:
    """Succeeds and writes nothing; with anything else under that name it is refused, and says what differs."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--dns", "10.1.0.53")
    before = control.northbound.dump(versions=True)
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--dns", "10.1.0.53")
    assert control.northbound.dump(versions=True) == before
    error, _ = control.refused(4, "subnet", "create", "blue", "10.1.0.0/24")
    assert error == "subnet blue exists with different settings: its DNS server is 10.1.0.53, not none"


@pytest.mark.parametrize(
    ("status", "arguments", "error", "hint"),
    [
        (2, "create red 10.3.0.1/24", "network 10.3.0.1/24 has host bits set", "did you mean 10.3.0.0/24?"),
        (2, "create red 10.3.0.0/31", "network 10.3.0.0/31 is too small", "/30"),
        (2, "create red 10.0.0.0/8", "network 10.0.0.0/8 is too large", "/12"),
        (2, "create red 127.0.0.0/24", "is loopback", "10.0.0.0/8"),
        (2, "create red fd00::/64 --no-router", "network fd00::/64 needs a router", "ovnhook router create"),
        (2, "create re_d- 10.3.0.0/24", "invalid subnet name 're_d-'", "letters"),
        (2, "create red 10.3.0.0/24 --gateway 10.4.0.1", "gateway 10.4.0.1 is not a host address of 10.3.0.0/24", ""),
        (2, "create red 10.3.0.0/24 --range 10.3.0.9-10.3.0.8", "the first address is after the last", "10.3.0.8-"),
        (2, "create red 10.3.0.0/24 --dns dns", "DNS server 'dns' is not an IP address", ""),
        (2, "create red 10.3.0.0/24 --domain a_b", "domain 'a_b' is not a DNS domain", "hyphens"),
        (2, "create red 10.3.0.0/24 --mtu 100", "invalid MTU 100", "576 to 9000"),
        (2, "create red 10.3.0.0/24 --mtu x", "'--mtu': 'x' is not a valid integer", "ovnhook subnet create --help"),
        (2, "create red", "Missing argument 'CIDR'", "ovnhook subnet create --help"),
        (2, "create red 10.3.0.0/24 --colour blue", "No such option", "ovnhook subnet create --help"),
        (2, "paint", "No such command 'paint'", "ovnhook subnet --help"),
        (4, "create red 10.1.0.128/25", "network 10.1.0.128/25 overlaps with subnet blue (10.1.0.0/24)", ""),
        (4, "create red 10.3.0.0/24 --default", "subnet blue is the default subnet already", "set red --default"),
        (4, "create theirs 10.3.0.0/24", "a logical switch 'theirs' exists that is not ovnhook's", "another name"),
        (2, "set blue", "nothing to set", "ovnhook subnet set --help"),
        (2, "set blue --dns 10.1.0.53 --no-dns", "--dns and --no-dns are mutually exclusive", ""),
        (2, "set blue --range 10.1.0.2-10.1.0.3 --no-range", "--range and --no-range are mutually exclusive", ""),
        (2, "set blue --mtu 0x", "not a valid integer", ""),
        (2, "set blue --gateway 10.1.0.0", "gateway 10.1.0.0 is not a host address", "10.1.0.1-10.1.0.254"),
        (5, "set blue --gateway 10.1.0.20", "gateway 10.1.0.20 is leased to domain web1 (52:54:00:00:00:01)", "other"),
        (3, "set red --mtu 1400", "there is no subnet 'red'", "ovnhook subnet list"),
        (3, "show red", "there is no subnet 'red'", "ovnhook subnet list"),
        (3, "delete red", "there is no subnet 'red'", "ovnhook subnet list"),
        (5, "delete blue", "subnet blue is in use by domain web1", "ovnhook lease list --subnet blue"),
        (5, "delete green", "subnet green is in use by port router-port, without a lease", "lsp-list green"),
    ],
)
def test_what_is_refused(control: Control, status: int, arguments: str, error: str, hint: str) -> None:
    """Every refusal: its words, its hint, its exit status, and that nothing was written."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.attach("web1", "blue", "10.1.0.20")
    control.northbound.transact(
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "theirs"}},
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "router-port"}},
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": [["name", "==", "green"]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]],
        },
    )
    said, advice = control.refused(status, "subnet", *arguments.split())
    assert error in said
    assert hint in advice


def test_the_default_subnet(control: Control) -> None:
    """It is moved on purpose, can't be given up, and goes with its subnet when nothing uses that."""

    def default() -> list[str]:
        return [row["name"] for row in control.done("subnet", "list", "--format", "json").json if row["default"]]

    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.done("subnet", "set", "green", "--default")
    assert default() == ["green"]
    control.done("subnet", "delete", "green")
    assert default() == []
    control.done("subnet", "create", "green", "10.2.0.0/24", "--default")
    assert default() == ["green"]


def test_smaller_ranges_leave_leases(control: Control) -> None:
    """They are outside then, and stay."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.attach("web1", "blue", "10.1.0.20")
    made = control.done("subnet", "set", "blue", "--range", "10.1.0.100-10.1.0.100", "--format", "json").json
    assert (made["used"], made["capacity"]) == (1, 1)


def test_conflicting_creates_at_once(control: Control) -> None:
    """Of eight that want the same network one has it; the others are told who."""
    start = threading.Barrier(8)

    def create(number: int) -> str:
        start.wait(HANG)
        try:
            Client(control.path).call("CreateSubnet", subnet={"name": f"s{number}", "cidr": "10.1.0.0/20"})
        except AlreadyExists as error:
            return error.message
        return ""

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(create, range(8)))
    (winner,) = [f"s{number}" for number, words in enumerate(said) if not words]
    assert {words for words in said if words} == {f"network 10.1.0.0/20 overlaps with subnet {winner} (10.1.0.0/20)"}
    assert [row["name"] for row in control.done("subnet", "list", "--format", "json").json] == [winner]


def test_creates_at_once_that_do_not_conflict(control: Control) -> None:
    """All of them are made, though each counts the registry on; only one of the defaults is."""
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait(HANG)
        wanted = {"name": f"s{number}", "cidr": f"10.{number}.0.0/16", "default": number % 2 == 0}
        try:
            Client(control.path).call("CreateSubnet", subnet=wanted)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert all(made[1::2])
    assert sum(made[0::2]) == 1
    listed = control.done("subnet", "list", "--format", "json").json
    assert len(listed) == sum(made)
    assert sum(row["default"] for row in listed) == 1


@pytest.mark.parametrize("paths", [[], ["cidr"], ["name"], ["colour"], ["subnet.mtu"], ["mtu", "used"]])
def test_masks_that_are_refused(control: Control, paths: list[str]) -> None:
    """What can't be set is named; nothing else is set then."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    before = control.northbound.dump(versions=True)
    with pytest.raises(OvnhookError) as caught:
        Client(control.path).call("UpdateSubnet", subnet={"name": "blue", "mtu": 1300}, update_mask={"paths": paths})
    assert caught.value.status == "INVALID_ARGUMENT"
    assert (paths or ["update_mask"])[-1] in caught.value.message
    assert "gateway" in caught.value.hint
    assert control.northbound.dump(versions=True) == before


def test_a_foreign_network_of_the_name(control: Control) -> None:
    """Hosts have reported it: who creates the subnet is warned."""
    for host, networks in (("hv1", "default"), ("hv2", "default other"), ("hv3", "")):
        add_chassis(control.southbound, host, reports={"foreign-networks": networks})
    done = control.ovnhook("subnet", "create", "default", "10.1.0.0/24")
    assert done.status == 0
    assert done.error == (
        "warning: libvirt network 'default' is not subnet default on hv1, hv2\n"
        "hint: rename one of them, or 'virsh net-undefine default'\n"
    )
    control.done("subnet", "create", "main", "10.2.0.0/24")
