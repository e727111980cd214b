"""A MAC address belongs to one running domain of a subnet: whoever comes second is refused, and told whose it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Conflict
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, Row, as_set, delete, key, mutate, ref
from ovnhook.resources.kind import Put
from ovnhook.resources.port.kind import CLAIM
from ovnhook.resources.port.values import Claim
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import resolver_mac, server_mac
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    BLUE,
    DEFAULT,
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    Overtaken,
    attach,
    differing,
    domain,
    interface,
    soon,
)
from tests.database.ovsdb_server import Server
from tests.database.southbound_rows import add_chassis

MAC = MACS[0]


def twin(subnet: str = "", *, name: str = "twin") -> Domain:
    """Another domain with the same MAC."""
    return domain(interface(MAC, subnet), uuid=MAIL, name=name)


def claims(world: Hypervisors) -> dict[tuple[str, str], str]:
    """The domains that have MAC addresses reserved, by subnet and MAC."""
    found = (dict(row["external_ids"][1]) for row in world.server.dump()["DNS"].values() if "ovnhook:mac" in str(row))
    return {
        (ids["ovnhook:subnet"], ids["ovnhook:mac"]): ids["ovnhook:domain"]
        for ids in found
        if ids["ovnhook:kind"] == "mac"
    }


def drop_port(world: Hypervisors, *, only_claim: bool = False) -> None:
    """Delete web1's port by hand, as ``ovn-nbctl lsp-del`` does, or only the claim, which older versions don't make."""
    uuid = uuids.port(WEB, MAC)
    leave = mutate("Logical_Switch", key(DEFAULT.uuid), [["ports", "delete", as_set([ref(uuid)])]])
    claim = delete("DNS", key(uuids.claim("default", MAC)))
    world.northbound.database.transact([claim if only_claim else leave], soon())


def join_foreign(server: Server, switch: str, port: str = "theirs", *addresses: str) -> None:
    """Put a port that is not ours on a switch, as ``ovn-nbctl lsp-add`` and ``lsp-set-addresses`` do."""
    row = {"name": port, "addresses": ["set", list(addresses)]}
    server.transact(
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": row},
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": [["name", "==", switch]],
            "mutations": [["ports", "insert", ["named-uuid", "p"]]],
        },
    )


def test_a_start_looks_at_no_table(world: Hypervisors, hv1: DirectHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it reads it reads by key: what it costs does not depend on how many ports the cloud has, whoever's."""
    asked: list[Operation] = []
    transact = Database.transact

    def listen(self: Database, operations: Sequence[Operation], deadline: Deadline) -> list[list[Row]]:
        asked.extend(operations)
        return transact(self, operations, deadline)

    monkeypatch.setattr(Database, "transact", listen)
    wanted = domain(interface(), interface(MACS[1], "blue"))
    for _ in range(2):
        hv1.attach(wanted, soon())
        attach(hv1, wanted)
        hv1.detach(wanted, soon())
    selects = [one for one in asked if one["op"] == "select" and one["table"] in {"DNS", "Logical_Switch_Port"}]
    assert [one for one in selects if [condition[:2] for condition in one["where"]] != [["_uuid", "=="]]] == []
    assert len(selects) > len(wanted.interfaces)


@pytest.mark.parametrize("where", ["hv1", "hv2"])
def test_the_second_is_refused(world: Hypervisors, hv1: DirectHost, where: str) -> None:
    """On another host as on the same one; nothing of it is left, and the first one has lost nothing."""
    hv1.attach(domain(interface()), soon())
    before = world.exact()
    with pytest.raises(AlreadyExists) as caught:
        world.host(where).attach(twin(), soon())
    said = f"domain twin: interface {MAC}: MAC address {MAC} of subnet default is that of domain web1 on hv1"
    assert caught.value.message == said
    assert "virsh edit twin" in caught.value.hint
    assert world.exact() == before


def test_not_in_another_subnet(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """One MAC in two subnets is two networks' business."""
    hv1.attach(domain(interface()), soon())
    hv2.attach(twin("blue"), soon())
    assert [port.subnet for port in world.ports] == ["blue", "default"]
    assert claims(world) == {("default", MAC): str(WEB), ("blue", MAC): str(MAIL)}


def test_not_while_the_first_is_off(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """They take turns, as two copies of which one runs at a time."""
    for _ in range(2):
        hv1.attach(domain(interface()), soon())
        hv1.detach(domain(interface()), soon())
        assert claims(world) == {}
        hv2.attach(twin(), soon())
        with pytest.raises(AlreadyExists, match="domain twin on hv2"):
            hv1.attach(domain(interface()), soon())
        hv2.detach(twin(), soon())
    assert claims(world) == {}


def test_hot_plug(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Only the interface with the taken MAC is refused; it has its network when the other one is gone."""
    hv2.attach(twin(), soon())
    hv1.attach(domain(interface(MACS[1])), soon())
    both = domain(interface(MACS[1]), interface(MAC), interface(MACS[2]))
    (refused,) = attach(hv1, both).refused
    assert f"MAC address {MAC} of subnet default is that of domain twin on hv2" in str(refused)
    assert [port.mac for port in world.ports if port.domain == WEB] == [MACS[1], MACS[2]]
    assert differing(world, hv1, both) == [f"it has no port {uuids.port(WEB, MAC)}"]
    hv2.detach(twin(), soon())
    assert attach(hv1, both).refused == ()
    assert differing(world, hv1, both) == []


def test_a_domain_is_not_in_its_own_way(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Started again, on another host after a crash, moved to another subnet, migrated there and back."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    hv1.attach(wanted, soon())
    hv2.attach(wanted, soon())
    hv2.announce(Domain(WEB, "web1"), soon())
    hv1.announce(wanted, soon())
    hv1.attach(wanted, soon())
    with pytest.raises(AlreadyExists):
        hv2.attach(twin(), soon())
    hv1.finish_migration(WEB, soon())
    hv2.detach(wanted, soon())
    assert [(port.host, port.moving_to) for port in world.ports] == [("hv1", "")]
    with pytest.raises(AlreadyExists, match="domain web1 on hv1"):
        hv2.attach(twin(), soon())
    hv1.attach(domain(interface(subnet="blue")), soon())
    assert claims(world) == {("blue", MAC): str(WEB)}
    hv2.attach(twin(), soon())


@pytest.mark.parametrize("end", ["detach", "release_leases", "roll_back"])
def test_the_claim_goes_with_the_port(world: Hypervisors, hv1: DirectHost, end: str) -> None:
    """However the port ends."""
    wanted = domain(interface(), interface(MACS[1], "blue"))
    hv1.attach(wanted, soon())
    assert len(claims(world)) == 2
    getattr(hv1, end)(WEB if end == "release_leases" else wanted, soon())
    assert claims(world) == {}


@pytest.mark.parametrize(("mac_of", "owner"), [(server_mac, "gateway"), (resolver_mac, "DNS resolver")])
def test_a_mac_of_the_subnet(world: Hypervisors, hv1: DirectHost, mac_of: Callable[[str], str], owner: str) -> None:
    """What answers there for ARP, DHCP or DNS keeps its own."""
    with pytest.raises(AlreadyExists, match=f"of subnet blue is that of its {owner}"):
        hv1.attach(domain(interface(mac_of(BLUE.name), "blue")), soon())
    hv1.attach(domain(interface(mac_of(BLUE.name))), soon())


def test_a_claim_without_its_port_keeps_nobody_off(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Somebody has deleted the port by hand: another domain takes the claim over, or the same one has it still."""
    hv1.attach(domain(interface()), soon())
    drop_port(world)
    hv1.attach(domain(interface()), soon())
    assert claims(world) == {("default", MAC): str(WEB)}
    drop_port(world)
    hv2.attach(twin(), soon())
    assert claims(world) == {("default", MAC): str(MAIL)}
    with pytest.raises(AlreadyExists, match="domain twin on hv2"):
        hv1.attach(domain(interface()), soon())


def test_a_claim_that_is_taken_over_meanwhile(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Two want a void claim at once, and its domain wants it back: one has it in the end."""
    hv1.attach(domain(interface()), soon())
    drop_port(world)
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(twin(), soon()))
    with pytest.raises(AlreadyExists, match="domain twin on hv2"):
        hv1.attach(domain(interface()), soon())
    hv2.detach(twin(), soon())
    hv1.attach(domain(interface()), soon())
    drop_port(world)
    back = partial(world.host("hv1").attach, domain(interface()), soon())
    hv2.attachment.northbound = Overtaken(world.server.remote, back)
    with pytest.raises(AlreadyExists, match="domain web1 on hv1"):
        hv2.attach(twin(), soon())


def test_a_mac_that_is_taken_meanwhile(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """It was free when it was looked up."""
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(twin(), soon()))
    with pytest.raises(AlreadyExists, match="domain twin on hv2"):
        hv1.attach(domain(interface()), soon())
    assert [port.domain for port in world.ports] == [MAIL]


def test_a_claim_of_one_that_runs_is_not_taken(world: Hypervisors, hv1: DirectHost) -> None:
    """The transaction itself says so."""
    hv1.attach(domain(interface()), soon())
    old = Claim("default", MAC, WEB)
    with pytest.raises(Conflict):
        world.northbound.commit([Put(CLAIM, old, Claim("default", MAC, MAIL))], soon())
    with pytest.raises(Conflict):
        world.northbound.commit([Put(CLAIM, None, Claim("default", MAC, MAIL))], soon())


def test_a_port_of_the_version_before(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """It has no claim: the next attach makes one, for a domain that runs; and one that stops needs none."""
    hv1.attach(domain(interface()), soon())
    drop_port(world, only_claim=True)
    attach(hv1, domain(interface()))
    with pytest.raises(AlreadyExists):
        hv2.attach(twin(), soon())
    drop_port(world, only_claim=True)
    hv1.detach(domain(interface()), soon())
    assert (claims(world), world.ports) == ({}, [])


def test_two_that_ran_before(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Both go on, the second to be claimed migrates and stops; its next start is refused."""
    hv1.attach(domain(interface()), soon())
    drop_port(world, only_claim=True)
    hv2.attach(twin(), soon())
    run = domain(interface())
    attach(hv1, run)
    hv2.announce(run, soon())
    hv2.attach(run, soon())
    hv2.finish_migration(WEB, soon())
    hv2.detach(run, soon())
    assert claims(world) == {("default", MAC): str(MAIL)}
    with pytest.raises(AlreadyExists, match="domain twin on hv2"):
        hv1.attach(run, soon())


def test_a_deleted_subnet_keeps_no_claim(world: Hypervisors, hv1: DirectHost) -> None:
    """Not even one whose port was deleted by hand."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    leave = mutate("Logical_Switch", key(BLUE.uuid), [["ports", "delete", as_set([ref(uuids.port(WEB, MAC))])]])
    world.northbound.database.transact([leave], soon())
    hv1.release_leases(WEB, soon())
    assert claims(world) == {("blue", MAC): str(WEB)}
    world.northbound.commit([Put(SUBNET, BLUE, None)], soon())
    assert claims(world) == {}


def test_clients_of_the_api(control: Control) -> None:
    """They are refused as well, in whatever case the MAC is written."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    for host in ("hv1", "hv2"):
        add_chassis(control.southbound, host)
    mac = "52:54:00:aa:bb:cc"
    made = control.done("port", "create", "c1", "--host", "hv1", "--mac", mac.upper(), "--format", "json").json
    for name, where in (("c2", "hv2"), ("c3", "hv1")):
        said, hint = control.refused(4, "port", "create", name, "--host", where, "--mac", mac)
        assert said.endswith(f"MAC address {mac} of subnet blue is that of domain c1 on hv1")
        assert "virsh" not in hint
    control.done("port", "create", "c2", "--host", "hv2", "--mac", mac, "--subnet", "green")
    control.done("port", "delete", made["id"])
    control.done("port", "create", "c3", "--host", "hv2", "--mac", mac, "--subnet", "blue")
    control.clear()


@pytest.mark.parametrize("foreign", [(), (f"{MAC.upper()} 10.1.0.9",), ("unknown", MAC)])
def test_status_reports_two_ports_with_one_mac(control: Control, foreign: tuple[str, ...]) -> None:
    """Those that were there before there were claims, and those of others on our switches."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    web = control.attach("web1", "blue", mac=MAC)
    if foreign:
        join_foreign(control.northbound, "blue", "theirs", *foreign)
        other = "port theirs, which is not ovnhook's"
    else:
        control.northbound.transact(delete("DNS", key(uuids.claim("blue", MAC))))
        control.attach("twin", "blue", mac=MAC)
        other = "domain twin on hv1"
    said = f"have the same MAC address, {MAC}, and disrupt each other's traffic"

    def told() -> list[str]:
        found = control.ovnhook("status", "--format", "json").json["problems"]
        return [one["what"] for one in found if "MAC" in one["what"]]

    (problem,) = told()
    assert problem.startswith("subnet blue: domain ")
    assert problem.endswith(said)
    assert "domain web1 on hv1" in problem
    assert other in problem
    control.stop(web)
    assert told() == []
