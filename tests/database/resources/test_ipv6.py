"""IPv6 on a real database: the rows that give guests their addresses, and lead them outside."""

from __future__ import annotations

from typing import Any

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import map_of, set_of
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.our_rows import names
from tests.database.ovsdb_server import wait_for

OUTSIDE = ("--physical-network", "external", "--address6", "2001:db8::10/64", "--next-hop6", "2001:db8::1")


def dhcp(control: Control) -> dict[str, dict[str, str]]:
    """The options of each network."""
    return {row["cidr"]: map_of(row["options"]) for row in control.northbound.dump()["DHCP_Options"].values()}


def router_port(control: Control) -> dict[str, Any]:
    """The router's only port."""
    (row,) = control.northbound.dump()["Logical_Router_Port"].values()
    return dict(row)


def port(control: Control) -> dict[str, Any]:
    """The only port of a domain."""
    rows = control.northbound.dump()["Logical_Switch_Port"].values()
    (row,) = (row for row in rows if dict(row["external_ids"][1])["ovnhook:kind"] == "port")
    return dict(row)


def forget(control: Control, domain: Domain) -> None:
    """Let a domain be undefined."""
    control.stop(domain)
    DirectHost(control.config).release_leases(domain.uuid, Deadline.after(HANG))


def test_a_subnet_of_both(control: Control) -> None:
    """An interface has an address of each, asked for or not, and keeps both; both are released and counted as one."""
    made = control.done(
        *("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64", "--domain", "lab.example"),
        *("--range", "fd00:1::10-fd00:1::19", "--dns", "fd00:1::53", "--dns", "10.1.0.53", "--format", "json"),
    ).json
    assert (made["cidr6"], made["gateway6"], made["capacity"]) == ("fd00:1::/64", "fd00:1::1", 10)
    assert len(made["dhcp_options"]) == 2
    assert dhcp(control)["10.1.0.0/24"]["dns_server"] == "{10.1.0.53}"
    assert dhcp(control)["fd00:1::/64"] == {
        "server_id": router_port(control)["mac"],
        "dns_server": "{fd00:1::53}",
    }
    assert set_of(router_port(control)["networks"]) == ["10.1.0.1/24", "fd00:1::1/64"]
    assert map_of(router_port(control)["ipv6_ra_configs"]) == {
        "address_mode": "dhcpv6_stateful",
        "mtu": "1442",
        "send_periodic": "true",
        "max_interval": "10",
        "min_interval": "3",
        "rdnss": "fd00:1::53",
        "dnssl": "lab.example",
        "router_preference": "LOW",
    }
    web = control.attach("web1", "blue", "10.1.0.20")
    (four, six) = control.done("lease", "list", "--format", "json").json
    assert four["address"] == "10.1.0.20"
    assert six["address"].startswith("fd00:1::1")
    row = port(control)
    assert row["addresses"] == f"{MAC} 10.1.0.20 {six['address']}"
    assert row["port_security"].startswith(f"{row['addresses']} fe80:")
    assert sorted(made["dhcp_options"]) == sorted(row[f"dhcpv{version}_options"][1] for version in (4, 6))
    assert names(control, "blue")["web1.lab.example"] == f"10.1.0.20 {six['address']}"
    assert control.done("subnet", "show", "blue", "--format", "json").json["used"] == 1
    control.stop(web)
    control.attach("web1", "blue", "10.1.0.20")
    assert [one["address"] for one in control.done("lease", "list", "--format", "json").json][1] == six["address"]
    control.stop(web)
    control.done("lease", "release", six["address"])
    assert names(control, "blue")["web1.lab.example"] == "10.1.0.20"
    forget(control, web)
    assert names(control, "blue") == {}
    control.done("subnet", "delete", "blue")
    assert dhcp(control) == {}


def test_a_subnet_of_ipv6_alone(control: Control) -> None:
    """Nothing of IPv4 is there."""
    control.done("subnet", "create", "six", "fd00:6::/64")
    control.attach("web1", "six")
    row = port(control)
    assert (row["dhcpv4_options"], len(dhcp(control))) == (["set", []], 1)
    assert row["addresses"].startswith(f"{MAC} fd00:6::")
    assert set_of(router_port(control)["networks"]) == ["fd00:6::1/64"]
    said, _ = control.refused(2, "subnet", "set", "six", "--no-router")
    assert said.startswith("network fd00:6::/64 needs a router")


def test_ipv6_that_comes_later(control: Control) -> None:
    """The next start of a domain has it; it does not go while a lease is of it."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    web = control.attach("web1", "blue")
    control.done("subnet", "set", "blue", "--cidr6", "fd00:1::/64")
    assert "fd00" not in port(control)["addresses"]
    control.stop(web)
    control.attach("web1", "blue")
    assert "fd00:1::" in port(control)["addresses"]
    said, _ = control.refused(5, "subnet", "set", "blue", "--no-cidr6")
    assert "is leased to domain web1" in said
    forget(control, web)
    control.done("subnet", "set", "blue", "--no-cidr6")
    assert list(dhcp(control)) == ["10.1.0.0/24"]
    assert router_port(control)["ipv6_ra_configs"] == ["map", []]


def test_a_subnet_of_an_earlier_version(control: Control) -> None:
    """Whose router advertised minutes apart, and no domain: the control service sets it as that of a new one."""
    control.done("subnet", "create", "six", "fd00:6::/64", "--domain", "lab.example")
    new, options = map_of(router_port(control)["ipv6_ra_configs"]), dhcp(control)["fd00:6::/64"]
    old = {key: value for key, value in new.items() if "interval" not in key and key != "dnssl"}
    assert len(old) == len(new) - 3
    searched = options | {"domain_search": '"lab.example"'}
    control.northbound.transact(
        *(
            {"op": "update", "table": table, "where": [], "row": {column: ["map", [*map(list, values.items())]]}}
            for table, column, values in (
                ("Logical_Router_Port", "ipv6_ra_configs", old),
                ("DHCP_Options", "options", searched),
            )
        )
    )
    wait_for(lambda: (map_of(router_port(control)["ipv6_ra_configs"]), dhcp(control)["fd00:6::/64"]) == (new, options))


def test_another_search_domain(control: Control) -> None:
    """The router advertises it, with the DHCP options of IPv4; none if it is removed."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64", "--domain", "lab.example")
    control.done("subnet", "set", "blue", "--domain", "other.example")
    assert map_of(router_port(control)["ipv6_ra_configs"])["dnssl"] == "other.example"
    assert dhcp(control)["10.1.0.0/24"]["domain_name"] == '"other.example"'
    control.done("subnet", "set", "blue", "--no-domain")
    assert "dnssl" not in map_of(router_port(control)["ipv6_ra_configs"])


def test_the_way_outside(control: Control) -> None:
    """IPv6 alone, routed; with the router's address where that is asked for; beside IPv4."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")

    def routes() -> dict[str, str]:
        rows = control.northbound.dump()["Logical_Router_Static_Route"].values()
        return {row["ip_prefix"]: row["nexthop"] for row in rows}

    def nats() -> dict[str, str]:
        return {row["logical_ip"]: row["external_ip"] for row in control.northbound.dump()["NAT"].values()}

    control.done("router", "set", "gateway", *OUTSIDE)
    assert (routes(), nats()) == ({"::/0": "2001:db8::1"}, {})
    control.attach("web1", "blue")
    said, _ = control.refused(2, "floating-ip", "create", "203.0.113.20", "web1")
    assert said == "router gateway has no IPv4 external gateway"
    control.done("router", "set", "gateway", "--snat6")
    assert nats() == {"fd00:1::/64": "2001:db8::10"}
    control.done("router", "set", "gateway", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.1")
    assert routes() == {"0.0.0.0/0": "203.0.113.1", "::/0": "2001:db8::1"}
    assert nats() == {"fd00:1::/64": "2001:db8::10", "10.1.0.0/24": "203.0.113.10"}
    control.done("router", "set", "gateway", "--no-snat6")
    assert nats() == {"10.1.0.0/24": "203.0.113.10"}
    control.done("router", "set", "gateway", "--no-external")
    assert (routes(), nats()) == ({}, {})
