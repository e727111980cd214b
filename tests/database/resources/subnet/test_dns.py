"""Names on a real database: what guests can ask for follows every change of a lease, a subnet, a router."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.ovsdb.operation import map_of, set_of
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import soon
from tests.database.our_rows import names
from tests.database.ovsdb_server import run

OTHER_MAC = "52:54:00:00:00:02"


def known_in(control: Control, subnet: str) -> set[str]:
    """The subnets whose names a subnet's guests may ask for."""
    rows = control.northbound.dump()
    switch = rows["Logical_Switch"][str(uuids.switch(subnet))]
    found = (dict(rows["DNS"][row[1]]["external_ids"][1]) for row in set_of(switch["dns_records"]))
    return {ids["ovnhook:subnet"] for ids in found}


def domain(name: str, *interfaces: Interface) -> Domain:
    """A domain of that name."""
    return Domain(uuids.switch(name), name, 1, interfaces, tuple(one.mac for one in interfaces))


def asking(host: str, address: str, mac: str = MAC, subnet: str = "blue") -> Interface:
    """An interface with a host name."""
    return Interface(
        mac, InterfaceType.BRIDGE, InterfaceRequest(subnet, addresses=(IPAddress(address),), hostname=host)
    )


def test_names_live_as_long_as_leases(control: Control) -> None:
    """From the first start to the undefine, over a stop; a released lease takes its names along."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--domain", "lab.example")
    web = control.attach("web1", "blue", "10.1.0.20")
    there = {
        "web1": "10.1.0.20",
        "web1.lab.example": "10.1.0.20",
        "20.0.1.10.in-addr.arpa": "web1.lab.example",
    }
    assert names(control, "blue") == there
    control.stop(web)
    assert names(control, "blue") == there
    control.attach("mail", "blue", "10.1.0.21", OTHER_MAC)
    assert len(names(control, "blue")) == 6
    control.done("lease", "release", "10.1.0.20")
    assert set(names(control, "blue")) == {"mail", "mail.lab.example", "21.0.1.10.in-addr.arpa"}
    DirectHost(control.config).release_leases(uuids.switch("mail"), soon())
    assert names(control, "blue") == {}


def test_a_domain_of_several_interfaces(control: Control) -> None:
    """They share the name, which has all addresses; an address given back leaves the others."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    host = DirectHost(control.config)
    both = domain("web1", asking("web1", "10.1.0.20"), asking("web1", "10.1.0.3", OTHER_MAC))
    host.attach(both, soon())
    assert names(control, "blue")["web1"] == "10.1.0.3 10.1.0.20"
    host.detach(both, soon())
    control.done("lease", "release", "10.1.0.3")
    assert names(control, "blue") == {"web1": "10.1.0.20", "20.0.1.10.in-addr.arpa": "web1"}


def test_another_host_name(control: Control) -> None:
    """The old one is free at once."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    host = DirectHost(control.config)
    host.attach(domain("web1", asking("old", "10.1.0.20")), soon())
    host.attach(domain("web1", asking("new", "10.1.0.20")), soon())
    assert names(control, "blue") == {"new": "10.1.0.20", "20.0.1.10.in-addr.arpa": "new"}
    host.attach(domain("mail", asking("old", "10.1.0.21", OTHER_MAC)), soon())
    assert names(control, "blue")["old"] == "10.1.0.21"


def test_another_subnet(control: Control) -> None:
    """The name goes along."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--domain", "blue.example")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--domain", "green.example")
    host = DirectHost(control.config)
    host.attach(domain("web1", asking("web1", "10.1.0.20")), soon())
    host.attach(domain("web1", asking("web1", "10.2.0.20", subnet="green")), soon())
    assert names(control, "blue") == {}
    assert names(control, "green")["web1.green.example"] == "10.2.0.20"


def test_a_name_that_is_taken(control: Control) -> None:
    """Refused in its subnet with who has it, also while that one is stopped, and nothing is left; free elsewhere."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    host = DirectHost(control.config)
    web = domain("web1", asking("web1", "10.1.0.20"))
    host.attach(web, soon())
    host.detach(web, soon())
    before = control.northbound.dump(versions=True)
    with pytest.raises(AlreadyExists) as refused:
        host.attach(domain("copy", asking("web1", "10.1.0.30", OTHER_MAC)), soon())
    assert refused.value.message == (
        f"domain copy: interface {OTHER_MAC}: host name 'web1' of subnet blue is that of domain web1 on hv1"
        f" (10.1.0.20, {MAC})"
    )
    assert "choose another host name" in refused.value.hint
    assert control.northbound.dump(versions=True) == before
    host.attach(domain("copy", asking("web1", "10.2.0.30", OTHER_MAC, "green")), soon())


def test_a_name_that_many_want_at_once(control: Control) -> None:
    """One has it."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    host, barrier = DirectHost(control.config), Barrier(8)

    def attach(number: int) -> str:
        request = InterfaceRequest("blue", hostname="web1")
        mac = f"52:54:00:00:01:{number:02x}"
        one = Domain(UUID(int=number + 1), f"vm{number}", 1, (Interface(mac, InterfaceType.BRIDGE, request),), (mac,))
        barrier.wait(HANG)
        try:
            host.attach(one, soon())
        except AlreadyExists as error:
            return error.message.partition("interface ")[2].partition(": ")[2][:52]
        return "attached"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(attach, range(8))) == {
            "attached": 1,
            "host name 'web1' of subnet blue is that of domain vm": 7,
        }
    (lease,) = control.done("lease", "list", "--format", "json").json
    assert names(control, "blue")["web1"] == lease["address"]


def test_another_domain_for_a_subnet(control: Control) -> None:
    """All its names end with it."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--domain", "old.example")
    control.attach("web1", "blue", "10.1.0.20")
    control.attach("mail", "blue", "10.1.0.21", OTHER_MAC)
    control.done("subnet", "set", "blue", "--domain", "new.example")
    found = names(control, "blue")
    assert set(found) == {
        *("web1", "web1.new.example", "mail", "mail.new.example"),
        *("20.0.1.10.in-addr.arpa", "21.0.1.10.in-addr.arpa"),
    }
    control.done("subnet", "set", "blue", "--no-domain")
    assert names(control, "blue")["20.0.1.10.in-addr.arpa"] == "web1"
    assert len(names(control, "blue")) == 4


def test_a_subnet_renamed_while_domains_start(control: Control) -> None:
    """Whoever is first, in the end every name has the last domain."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--domain", "d0.example")
    host = DirectHost(control.config)

    def start(number: int) -> None:
        host.attach(
            domain(f"vm{number}", asking(f"vm{number}", f"10.1.0.{20 + number}", f"52:54:00:00:01:{number:02x}")),
            soon(),
        )

    with ThreadPoolExecutor(4) as pool:
        starts = [pool.submit(start, number) for number in range(24)]
        for number in range(1, 6):
            control.done("subnet", "set", "blue", "--domain", f"d{number}.example")
        for one in starts:
            one.result()
    found = names(control, "blue")
    assert {name: found.pop(name) for name in [f"vm{n}.d5.example" for n in range(24)]} == {
        f"vm{n}.d5.example": f"10.1.0.{20 + n}" for n in range(24)
    }
    assert not [name for name in found if "example" in name]
    assert {value for name, value in found.items() if "arpa" in name} == {f"vm{n}.d5.example" for n in range(24)}


def test_whose_names_ovn_knows(control: Control) -> None:
    """None. In rows of an earlier version those of the router's subnets, but isolated ones, and the subnet's own."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert known_in(control, "blue") == set()
    control.done("subnet", "delete", "blue")
    run(
        *("ovn-nbctl", "--no-leader-only", f"--db={control.northbound.remote}"),
        *("set", "DNS", str(uuids.REGISTRY), "records:format=1"),
    )
    for name, cidr, *more in (
        ("blue", "10.1.0.0/24"),
        ("green", "10.2.0.0/24"),
        ("secret", "10.3.0.0/24", "--isolated"),
        ("alone", "10.4.0.0/24", "--no-router"),
    ):
        control.done("subnet", "create", name, cidr, *more)
    assert known_in(control, "blue") == known_in(control, "green") == {"blue", "green"}
    assert known_in(control, "secret") == {"secret"}
    assert known_in(control, "alone") == {"alone"}
    control.done("subnet", "set", "secret", "--no-isolated")
    control.done("subnet", "set", "alone", "--router", "gateway")
    control.done("subnet", "set", "green", "--no-router")
    assert known_in(control, "blue") == known_in(control, "secret") == {"blue", "secret", "alone"}
    assert known_in(control, "green") == {"green"}
    control.done("subnet", "delete", "secret")
    assert known_in(control, "blue") == {"blue", "alone"}
    for name in ("blue", "green", "alone"):
        control.done("subnet", "delete", name)
    assert [*control.northbound.dump()["DNS"]] == [str(uuids.REGISTRY)]


def test_whom_guests_ask(control: Control) -> None:
    """The servers that are set, else the resolver, with a router and without one."""

    def told() -> str:
        (row,) = control.northbound.dump()["DHCP_Options"].values()
        return map_of(row["options"]).get("dns_server", "")

    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert told() == "{10.1.0.2}"
    control.done("subnet", "set", "blue", "--dns", "9.9.9.9")
    assert told() == "{9.9.9.9}"
    control.done("subnet", "set", "blue", "--no-dns", "--no-router")
    assert told() == "{10.1.0.2}"
