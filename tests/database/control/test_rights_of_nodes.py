"""What a node that lies can do all the same: docs/explanation/security.md says so, and who is told. Real databases."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from ovnhook.control import agentstates
from tests.attacks.api import (
    DETACHED,
    OK,
    OWN_UUID,
    RUNNING,
    STOPPED,
    ApiClient,
    Victims,
    libvirt_domain,
)
from tests.database.attacked_cloud import AttackedCloud, attacked
from tests.database.control_host import cloud
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import set_reports

__all__ = ["attacked", "cloud"]  # fixtures


def shown(world: AttackedCloud, *command: str) -> Any:
    """Output of a command of root as JSON."""
    return json.loads(world.host.ovnhook(*command, "--format", "json").out)


def host_of(world: AttackedCloud, name: str) -> str:
    """The host that has a domain's lease."""
    return next(str(one["host"]) for one in shown(world, "lease", "list") if one["domain_name"] == name)


def refused(client: ApiClient, method: str, **fields: Any) -> str:
    """Message of a call that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        client.ask(method, **fields)
    return str(caught.value.details())


def test_a_domain_that_is_shut_off(attacked: AttackedCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts it has its leases, and its floating IP; until he is revoked, nobody else starts it."""
    external = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    attacked.host.ovnhook("router", "set", "gateway", *external, "--force")
    assert attacked.host.ovnhook("floating-ip", "create", "203.0.113.20", STOPPED).status == 0
    victims = Victims.listed(attacked.attacker)
    stolen = libvirt_domain(victims.uuid(STOPPED), STOPPED, victims.leases[STOPPED]["mac"])
    attacked.attacker.ask("ReportHost", host="hv1", agent_version="1")
    attacked.attacker.ask("AttachDomain", host="hv1", domain=stolen)
    assert host_of(attacked, STOPPED) == "hv1"
    assert [one["address"] for one in shown(attacked, "floating-ip", "list")] == ["203.0.113.20"]
    assert "on host 'hv1', not on hv2" in refused(attacked.victim, "AttachDomain", host="hv2", domain=stolen)
    attacked.host.client.call("RevokeCertificate", name="hv1", role="node")
    monkeypatch.setattr(agentstates, "GRACE", 0.0)
    set_reports(attacked.host.control.southbound, "hv1", seen=str(int(time.time()) - 100))
    attacked.victim.ask("AttachDomain", host="hv2", domain=stolen)
    assert host_of(attacked, STOPPED) == "hv2"


def test_a_domain_of_an_api_client_that_is_detached(attacked: AttackedCloud) -> None:
    """Who attaches it has its leases."""
    uuid, mac = (Victims.listed(attacked.attacker).leases[DETACHED][key] for key in ("domain", "mac"))
    attacked.attacker.ask("Attach", host="hv1", domain=uuid, name=DETACHED, interfaces=[{"mac": mac}])
    assert host_of(attacked, DETACHED) == "hv1"


def test_what_a_domain_that_is_shut_off_does_not_keep(attacked: AttackedCloud) -> None:
    """Its MAC address and interface ID: a domain of another node may have them, and the error names it."""
    victims = Victims.listed(attacked.attacker)
    uuid, mac = victims.uuid(STOPPED), victims.leases[STOPPED]["mac"]
    thief = libvirt_domain(OWN_UUID, "thief", mac)
    attacked.attacker.ask("AttachDomain", host="hv1", domain=thief)
    domain = libvirt_domain(uuid, STOPPED, mac)
    assert f"MAC address {mac} of subnet blue is that of domain thief on hv1" in refused(
        attacked.victim, "AttachDomain", host="hv2", domain=domain
    )
    attacked.attacker.ask("DetachDomain", host="hv1", domain=thief)
    attacked.victim.ask("AttachDomain", host="hv2", domain=domain)


def test_a_migration_to_another_host(attacked: AttackedCloud) -> None:
    """A request of a third host gets in its way, and gets the domain if the source confirms it; both errors name it."""
    third = ApiClient.of(attacked.host.api, attacked.host.enrol(attacked.host.create_token("hv3")))
    victims = Victims.listed(third)
    domain = libvirt_domain(victims.uuid(RUNNING), RUNNING, victims.ports[RUNNING]["mac"])
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(attacked.attacker.status, "AnnounceMigration", 20.0, host="hv1", domain=domain)
        wait_for(lambda: "requested-by" in str(attacked.host.control.northbound.dump()["DNS"]))
        said = refused(third, "AnnounceMigration", host="hv3", domain=domain)
        assert said == f"domain {RUNNING}: hv1 requests its migration at the same time"
        attacked.victim.ask("ConfirmMigration", host="hv2", domain=victims.uuid(RUNNING), destination="hv1")
        assert called.result() == OK
    attacked.attacker.ask("FinishMigration", host="hv1", domain=domain)
    assert host_of(attacked, RUNNING) == "hv1"


def test_all_addresses_of_a_subnet(attacked: AttackedCloud) -> None:
    """Within the quota of its rows; others are told that it is full."""
    attacked.host.ovnhook("subnet", "create", "tiny", "10.2.0.0/29")

    def domain(number: int) -> dict[str, Any]:
        mac = f"52:54:00:aa:00:0{number}"
        nic = {"mac": mac, "type": "bridge", "subnet": "tiny"}
        return {**libvirt_domain(f"{OWN_UUID[:-1]}{number}", f"mine{number}", mac), "interfaces": [nic]}

    for number in range(4):
        attacked.attacker.ask("AttachDomain", host="hv1", domain=domain(number))
    said = refused(attacked.victim, "AttachDomain", host="hv2", domain=domain(4))
    assert "subnet tiny is full: all 4 addresses are leased" in said


def test_what_it_says_of_itself(attacked: AttackedCloud) -> None:
    """The MTU of new subnets follows the smallest one; its problems are shown in the status, on one line."""
    attacked.attacker.ask("ReportHost", host="hv1", agent_version="1", mtu=576, problems=["reboot c1\n\x1b[2J"])
    attacked.host.ovnhook("subnet", "create", "small", "10.3.0.0/24")
    assert {one["name"]: one["mtu"] for one in shown(attacked, "subnet", "list")}["small"] == 576
    said = attacked.host.ovnhook("status").out
    assert "host hv1: reboot c1\\n\\x1b[2J" in said
    assert "\x1b" not in said


def test_names_with_control_characters(attacked: AttackedCloud) -> None:
    """They reach neither a terminal nor the next line of the log as what they are."""
    name = "web1\n\x1b]0;pwned\x07\u202e"
    attacked.attacker.ask("AttachDomain", host="hv1", domain=libvirt_domain(OWN_UUID, name, "52:54:00:aa:00:01"))
    for noun in ("port", "lease"):
        said = attacked.host.ovnhook(noun, "list").out
        assert "web1\\n\\x1b]0;pwned\\x07\\u202e" in said
        assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_a_node_that_makes_itself_a_gateway(attacked: AttackedCloud) -> None:
    """By its chassis' own options, as every gateway host does: it may get the external traffic of routers."""
    external = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    attacked.host.ovnhook("router", "set", "gateway", *external, "--force")
    assert shown(attacked, "router", "show", "gateway")["gateways"] == []
    options = ["map", [["ovn-cms-options", "enable-chassis-as-gw"], ["ovn-bridge-mappings", "external:br-ex"]]]
    attacked.host.control.southbound.transact(
        {"op": "update", "table": "Chassis", "where": [["name", "==", "hv1"]], "row": {"other_config": options}}
    )
    wait_for(lambda: shown(attacked, "router", "show", "gateway")["gateways"] == ["hv1"])
