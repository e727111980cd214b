"""Security groups by the control service and the command, on real databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from lab.waiting import HANG, until
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound
from ovnhook.control.arrivals import ArrivedPorts
from ovnhook.domains.values import Domain
from ovnhook.resources.security_group.rows import ARRIVALS_UUID
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.northd import Northd
from tests.database.ovsdb_server import run

SECOND = "52:54:00:00:00:02"


@pytest.fixture
def cloud(control: Control) -> Control:
    """A subnet without groups, one with a default group, and one domain on each."""
    control.done("security-group", "create", "base")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--security-group", "base")
    control.attach("web1", "blue", "10.1.0.11")
    control.attach("db1", "green", "10.2.0.12", SECOND)
    return control


def shown(control: Control, name: str) -> Any:
    """A group as it is shown."""
    return control.done("security-group", "show", name, "--format", "json").json


def members(control: Control, name: str) -> list[str]:
    """Names of the domains in a group."""
    return [one["domain_name"] for one in shown(control, name)["members"]]


def regroup(control: Control, domain: Domain, *names: str, runs: bool = True) -> None:
    """Attach a domain whose metadata names groups."""
    interfaces = tuple(
        replace(one, request=replace(one.request, security_groups=tuple(sorted(names)))) for one in domain.interfaces
    )
    DirectHost(control.config).attach(replace(domain, interfaces=interfaces), Deadline.after(HANG), running=runs)


def test_a_life_of_a_group(cloud: Control) -> None:
    """Make it and its rules, again, show, remove, delete."""
    cloud.done("security-group", "create", "web-1")
    again = cloud.northbound.dump(versions=True)
    cloud.done("security-group", "create", "web-1")
    assert cloud.northbound.dump(versions=True) == again
    for arguments in (
        "allow web-1 --from any --tcp 443,80,7000-7005,7003-7010",
        "allow web-1 --from group:web-1 --icmp",
        "allow web-1 --from 203.0.113.7 --protocol 112",
        "deny web-1 --from fd00:2::/64",
    ):
        cloud.done("security-group", *arguments.split())
        again = cloud.northbound.dump(versions=True)
        cloud.done("security-group", *arguments.split())
        assert cloud.northbound.dump(versions=True) == again
    assert [rule["text"] for rule in shown(cloud, "web-1")["rules"]] == [
        "allow from any tcp 80,443,7000-7010",
        "allow from group:web-1 icmp",
        "allow from 203.0.113.7/32 protocol 112",
        "deny from fd00:2::/64",
    ]
    assert shown(cloud, "web-1")["reaches"] == ["web-1: allow from group:web-1 icmp"]
    cloud.done("security-group", "remove", "web-1", "2")
    cloud.done("security-group", "remove", "web-1", "deny from fd00:2::/64")
    cloud.done("security-group", "allow", "web-1", "--from", "any")
    assert [rule["number"] for rule in shown(cloud, "web-1")["rules"]] == [1, 3, 5]
    assert ["web-1", "allow", "3", "-"] in cloud.done("security-group", "list").table
    cloud.done("security-group", "set", "web-1", "--outbound", "deny")
    cloud.done("security-group", "delete", "web-1")
    assert [row["name"] for row in cloud.done("security-group", "list", "--format", "json").json] == ["base"]
    acls = {row["name"] for row in cloud.northbound.dump()["ACL"].values()}
    assert acls == {"base:inbound", "base:arrived", "base:outbound", "arrivals-inbound", "arrivals-outbound"}
    assert len(cloud.northbound.dump()["Port_Group"]) == 2


@pytest.mark.parametrize(
    ("status", "arguments", "error"),
    [
        (2, "create web.1", "'web.1' is not a valid name of a security group"),
        (3, "allow nix --from any", "there is no security group 'nix'"),
        (3, "allow base --from group:nix", "there is no security group 'nix', the source of a rule of base"),
        (2, "allow base --from 10.1.0.9/24", "source '10.1.0.9/24' is not any, a network"),
        (2, "allow base --from any||ip", "source 'any||ip' is not any, a network"),
        (2, "allow base --from group:a||b", "'a||b' is not a valid name"),
        (2, "allow base --from any --tcp 0", "ports '0': '0' is not a port or range from 1 to 65535"),
        (2, "allow base --from any --udp 53,x", "ports '53,x': 'x' is not a port"),
        (2, "allow base --from any --tcp 9-8", "'9-8' is not a port or range"),
        (3, "remove base 7", "security group base has no rule '7'"),
        (5, "delete base", "security group base is in use by domain db1"),
        (3, "delete nix", "there is no security group 'nix'"),
    ],
)
def test_what_is_refused(cloud: Control, status: int, arguments: str, error: str) -> None:
    """Every refusal: its words, its exit status, and that nothing was written."""
    assert error in cloud.refused(status, "security-group", *arguments.split())[0]


def test_what_uses_a_group_keeps_it(cloud: Control) -> None:
    """A subnet and a rule of another group; a subnet with an unknown group is refused."""
    cloud.done("security-group", "create", "web")
    cloud.done("security-group", "create", "db")
    cloud.done("security-group", "allow", "db", "--from", "group:web", "--tcp", "5432")
    error, hint = cloud.refused(5, "security-group", "delete", "web")
    assert error == "security group web is the source of a rule of db: allow from group:web tcp 5432"
    assert hint == "ovnhook security-group remove db 1"
    cloud.done("subnet", "set", "blue", "--security-group", "db")
    assert "in use by domain web1" in cloud.refused(5, "security-group", "delete", "db")[0]
    assert "no security group 'nix'" in cloud.refused(3, "subnet", "set", "blue", "--security-group", "nix")[0]
    assert (
        "no security group 'nix'"
        in cloud.refused(3, "subnet", "create", "red", "10.3.0.0/24", "--security-group", "nix")[0]
    )


def test_members_follow_subnets_and_metadata(cloud: Control) -> None:
    """The subnet's groups apply to interfaces that name none; both apply to running domains at once."""
    assert members(cloud, "base") == ["db1"]
    cloud.done("security-group", "create", "web")
    cloud.done("subnet", "set", "blue", "--security-group", "web", "--security-group", "base")
    assert (members(cloud, "web"), members(cloud, "base")) == (["web1"], ["db1", "web1"])
    ports = {row["domain_name"]: row for row in cloud.done("port", "list", "--format", "json").json}
    assert ports["web1"]["security_groups"] == ["base", "web"]
    web1 = cloud.attach("web1", "blue", "10.1.0.11")
    regroup(cloud, web1, "web")
    assert (members(cloud, "web"), members(cloud, "base")) == (["web1"], ["db1"])
    cloud.done("subnet", "set", "blue", "--security-group", "base")
    assert members(cloud, "base") == ["db1"]
    regroup(cloud, web1)
    assert (members(cloud, "web"), members(cloud, "base")) == ([], ["db1"])
    assert cloud.done("port", "show", "web1", "--format", "json").json["security_groups"] == []
    cloud.attach("web1", "blue", "10.1.0.11")
    assert members(cloud, "base") == ["db1", "web1"]
    cloud.stop(web1)
    assert members(cloud, "base") == ["db1"]
    cloud.done("subnet", "set", "green", "--no-security-group")
    assert members(cloud, "base") == []


def test_groups_and_limits_of_a_subnet_at_once(cloud: Control) -> None:
    """A running domain gets both in one change, and loses both in one."""

    def web1() -> tuple[list[str], str]:
        row = cloud.done("port", "show", "web1", "--format", "json").json
        return row["security_groups"], row["limit_inbound"]

    cloud.done("subnet", "set", "blue", "--security-group", "base", "--limit-inbound", "10M")
    assert web1() == (["base"], "10M")
    assert members(cloud, "base") == ["db1", "web1"]
    cloud.done("subnet", "set", "blue", "--no-security-group", "--no-limit-inbound")
    assert web1() == ([], "")
    assert members(cloud, "base") == ["db1"]


def test_a_start_with_an_unknown_group(cloud: Control) -> None:
    """It is refused, and nothing is left behind; a running domain keeps its groups."""
    before = cloud.northbound.dump()
    domain = Domain(UUID(int=7), "late", 1)
    late = replace(cloud.attach("web1", "blue", "10.1.0.11"), uuid=domain.uuid, name="late")
    mac = "52:54:00:00:00:77"
    late = replace(
        late,
        macs=(mac,),
        interfaces=(
            replace(
                late.interfaces[0], mac=mac, request=replace(late.interfaces[0].request, addresses=(), hostname="")
            ),
        ),
    )
    with pytest.raises(NotFound, match="domain late: interface 52:54:00:00:00:77: there is no security group 'nix'"):
        regroup(cloud, late, "base", "nix", runs=False)
    assert cloud.northbound.dump() == before


def test_api_ports(cloud: Control) -> None:
    """A port names its groups, or has those of its subnet."""
    create = ("port", "create", "box", "--host", "hv1", "--subnet", "green")
    run("ovn-sbctl", f"--db={cloud.southbound.remote}", "chassis-add", "hv1", "geneve", "127.0.0.1")
    cloud.done("security-group", "create", "web")
    cloud.done(*create)
    assert members(cloud, "base") == ["box", "db1"]
    assert (
        "its list of security groups is that of the subnet, not web"
        in cloud.refused(4, *create, "--security-group", "web")[0]
    )
    cloud.done("port", "delete", "box")
    cloud.done(*create, "--security-group", "web")
    again = cloud.northbound.dump(versions=True)
    cloud.done(*create, "--security-group", "web")
    cloud.done(*create)
    assert cloud.northbound.dump(versions=True) == again
    assert (members(cloud, "web"), members(cloud, "base")) == (["box"], ["db1"])


def test_arrivals(cloud: Control) -> None:
    """A port that has migrated is one for a minute, and not before; one in no group is none."""
    attachment = DirectHost(cloud.config).attachment
    times = [0.0]
    loop = ArrivedPorts(attachment.northbound, lambda: times[-1])
    web1, db1 = Domain(uuids.switch("web1"), "web1"), Domain(uuids.switch("db1"), "db1")

    def arrivals() -> list[str]:
        loop.step()
        ports, _ = attachment.northbound.members(ARRIVALS_UUID, Deadline.after(HANG))
        return [port.domain_name for port in ports]

    for domain in (web1, db1):
        attachment.announce(domain, "hv2", Deadline.after(HANG))
        assert arrivals() == []
        attachment.finish_migration(domain, "hv2", Deadline.after(HANG))
    for time, found in ((10.0, ["db1"]), (69.0, ["db1"]), (70.0, []), (80.0, [])):
        times.append(time)
        assert arrivals() == found
    attachment.announce(db1, "hv1", Deadline.after(HANG))
    attachment.cancel_migration(db1, "hv2", Deadline.after(HANG))
    assert arrivals() == []
    assert members(cloud, "base") == ["db1"]


def test_what_is_changed_by_hand_is_restored(cloud: Control) -> None:
    """Rules, the group itself, its members; a foreign port in it stays."""
    cloud.done("security-group", "allow", "base", "--from", "any", "--tcp", "80")
    cloud.done("security-group", "set", "base", "--outbound", "deny")
    nbctl = ("ovn-nbctl", f"--db={cloud.northbound.remote}")
    run(*nbctl, "init")
    desired = cloud.northbound.dump()
    for change in (
        ("acl-del", "ovnhook_group.base"),
        ("clear", "Port_Group", "ovnhook_group.base", "ports"),
        ("clear", "Port_Group", "ovnhook_resolvers", "ports"),
        ("pg-del", "ovnhook_group.base"),
        ("pg-del", "ovnhook_resolvers"),
    ):
        run(*nbctl, *change)
        assert cloud.northbound.dump() != desired
        until(lambda: cloud.northbound.dump() == desired, HANG, f"the repair of {' '.join(change)}")


def test_southbound_rows(directory: Any, cloud: Control) -> None:
    """Each further rule costs two of them, whatever its ports; a rule from a group two for each IP version."""
    cloud.done("subnet", "set", "blue", "--security-group", "base")
    cloud.done("security-group", "allow", "base", "--from", "any", "--tcp", "22")
    with Northd(directory, cloud.northbound, cloud.southbound) as northd:

        def rows(*arguments: str) -> int:
            cloud.done("security-group", "allow", "base", *arguments)
            northd.sync()
            return len(cloud.southbound.dump()["Logical_Flow"])

        before = rows("--from", "any", "--tcp", "23")
        assert rows("--from", "any", "--tcp", "80,443,8000-8100") == before + 2
        assert rows("--from", "10.9.0.0/16") == before + 4
        assert rows("--from", "fd00:9::/64", "--icmp") == before + 6
        assert rows("--from", "group:base", "--udp", "53") == before + 10
