"""Setting a host up: how steps are carried out, and what is refused before anything is touched."""

from __future__ import annotations

import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovnhook.base.config import Config
from ovnhook.base.errors import AlreadyExists, InUse, InvalidConfig, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.pki import keyfiles, remotes
from ovnhook.setup import central, cloud, cluster, command, configuration, listening, switch, uplink
from ovnhook.setup.command import run, succeeds
from ovnhook.setup.step import Step, carry_out


class Light:
    """Something that is off, and can be switched on."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.is_on = False
        self.switched = 0

    def switch(self) -> None:
        self.switched += 1
        self.is_on = self.works

    def step(self, timeout: float = 0.0) -> Step:
        return Step("the light is on", lambda: self.is_on, self.switch, timeout, hint="the fuse")


def test_a_step_is_carried_out_once() -> None:
    light, said = Light(), list[str]()
    carry_out([light.step()], said.append)
    carry_out([light.step()], said.append)
    assert said == ["changed    the light is on", "unchanged  the light is on"]
    assert light.switched == 1


def test_what_does_not_become_so_is_told_and_ends_it() -> None:
    broken, after, said = Light(works=False), Light(), list[str]()
    with pytest.raises(Unavailable) as raised:
        carry_out([broken.step(), after.step()], said.append)
    assert str(raised.value) == "timed out after 0 s: the light is on (the fuse)"
    assert (said, after.switched) == ([], 0)
    broken.works = True
    carry_out([broken.step(), after.step()], said.append)
    assert said == ["changed    the light is on"] * 2


class Slow(Light):
    """A light whose switch answers too late."""

    def __init__(self, *, works: bool = True) -> None:
        super().__init__(works=works)
        self.looks = 0

    def switch(self) -> None:
        super().switch()
        raise Unavailable("the switch did not answer within 15 s")

    def look(self) -> bool:
        self.looks += 1
        if self.looks == 2:
            raise Unavailable("nobody can see it just now")
        return self.is_on


def test_who_answers_late_may_have_done_it() -> None:
    """It is waited for what is to be, and not for the answer."""
    slow, said = Slow(), list[str]()
    carry_out([Step("the light is on", slow.look, slow.switch)], said.append)
    assert (said, slow.switched) == (["changed    the light is on"], 1)
    broken = Slow(works=False)
    with pytest.raises(Unavailable, match="the switch did not answer"):
        carry_out([Step("the light is on", broken.look, broken.switch, timeout=0)], said.append)


def link(name: str = "eth1", **values: Any) -> uplink.Link:
    return replace(uplink.Link(name, is_up=False, is_loopback=False, master="", addresses=()), **values)


def test_an_interface_is_read() -> None:
    said = [
        {},
        {
            "ifname": "eth1",
            "flags": ["BROADCAST", "UP", "LOWER_UP"],
            "master": "ovs-system",
            "addr_info": [
                {"family": "inet", "local": "203.0.113.5", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
    ]
    assert uplink.parse(json.dumps(said)) == link(is_up=True, master="ovs-system", addresses=("203.0.113.5/24",))


@pytest.mark.parametrize(
    ("found", "present"),
    [
        (link(), ""),
        (link(master="ovs-system"), "br-ex"),
        (link(addresses=("203.0.113.5/24",)), "br-ex"),  # what is done is not undone
    ],
)
def test_a_free_interface_is_taken(found: uplink.Link, present: str) -> None:
    uplink.check(found, "br-ex", present)


@pytest.mark.parametrize(
    ("found", "present", "why"),
    [
        (link("lo", is_loopback=True), "", "is a loopback interface"),
        (
            link(addresses=("203.0.113.5/24", "2001:db8::5/64")),
            "",
            "203.0.113.5/24, 2001:db8::5/64, which would stop working",
        ),
        (link(master="bond0"), "", "is already in bond0"),
        (link(master="ovs-system"), "br-lan", "is already in br-lan"),
    ],
)
def test_an_interface_that_is_needed_is_refused(found: uplink.Link, present: str, why: str) -> None:
    with pytest.raises(InUse, match=why):
        uplink.check(found, "br-ex", present)


@pytest.mark.parametrize(
    ("mappings", "bridge"),
    [("", "br-ex"), ("external:br-wan", "br-wan"), ("lan:br-lan, external:br-wan", "br-wan"), ("lan:br-lan", "br-ex")],
)
def test_the_bridge_for_the_network_outside(mappings: str, bridge: str) -> None:
    assert uplink.bridge_of(mappings) == bridge


@pytest.mark.parametrize(
    "target",
    [
        "punix:/run/ovn/ovnnb_db.sock",
        "db:OVN_Northbound,NB_Global,connections",
        "pssl:6641",
        "ptcp:6641:127.0.0.1",
        "ptcp:6641:[::1]",
    ],
)
def test_a_database_that_others_do_not_write_to(target: str) -> None:
    central.check_private("northbound", "ovn-nbctl", [target])


@pytest.mark.parametrize("target", ["ptcp:6641", "ptcp:6641:0.0.0.0", "ptcp:6641:192.0.2.1", "ptcp:6641:[::]"])
def test_a_database_that_others_write_to(target: str) -> None:
    with pytest.raises(InUse, match="listens on ptcp:6641"):
        central.check_private("northbound", "ovn-nbctl", ["pssl:6641", target])


@pytest.mark.parametrize(
    ("asked", "ids", "name"),
    [
        ("", {}, "hv1"),
        ("", {"system-id": "6f1c"}, "hv1"),  # of Debian's making, and nobody knows it yet
        ("", {"system-id": "old", "ovn-remote": "unix:/s"}, "old"),
        ("old", {"system-id": "old", "ovn-remote": "unix:/s"}, "old"),
        ("new", {"system-id": "6f1c"}, "new"),
    ],
)
def test_what_a_host_is_called(asked: str, ids: dict[str, str], name: str) -> None:
    assert switch.name_for(asked, "hv1.example.org", ids) == name


def test_a_host_that_takes_part_keeps_its_name() -> None:
    with pytest.raises(InUse, match="is part of OVN as old, not as new"):
        switch.name_for("new", "hv1", {"system-id": "old", "ovn-remote": "unix:/s"})


def test_a_host_of_another_cloud_is_refused() -> None:
    central.check_own(Config())
    with pytest.raises(InUse, match="the northbound database is at tcp:192"):
        central.check_own(Config(northbound="tcp:192.0.2.10:6641"))


@pytest.mark.parametrize(
    ("cidr", "hop", "why"),
    [
        ("203.0.113.10", "203.0.113.1", "expected a host address with a prefix length"),
        ("203.0.113.0/24", "203.0.113.1", "expected a host address with a prefix length"),
        ("203.0.113.10/24", "198.51.100.1", "expected another address in 203.0.113.0/24"),
        ("203.0.113.10/24", "203.0.113.10", "expected another address in 203.0.113.0/24"),
        ("203.0.113.10/24", "router", "does not appear to be"),
        ("nowhere/24", "203.0.113.1", "does not appear to be"),
    ],
)
def test_a_place_outside_that_can_not_be(cidr: str, hop: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        cloud.external_gateway(cidr, hop)


class ServiceStub:
    """A control service that has a subnet and a router, or not yet."""

    def __init__(self, subnets: list[dict[str, Any]], router: dict[str, Any]) -> None:
        self.subnets, self.router = subnets, router

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        if method == "CreateSubnet":
            self.subnets.append({"cidr6": "", **fields["subnet"]})
        elif method == "UpdateRouter":
            self.router.update(fields["router"])
        elif not self.router:
            raise NotFound("there is no router 'gateway'")
        return self.router

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        return {"subnets": self.subnets, "routers": [self.router]}[rows]


@pytest.mark.parametrize(
    ("cidr", "hop", "fields"),
    [
        ("203.0.113.10/24", "203.0.113.1", {"address": "203.0.113.10/24", "next_hop": "203.0.113.1"}),
        ("2001:DB8::10/64", "2001:db8::1", {"address6": "2001:db8::10/64", "next_hop6": "2001:db8::1"}),
    ],
)
def test_a_cloud_begins(cidr: str, hop: str, fields: dict[str, str]) -> None:
    service, said = ServiceStub([], {}), list[str]()
    external = cloud.external_gateway(cidr, hop)
    carry_out(cloud.steps(service, "10.128.0.0/24", external), said.append)
    assert [(row["name"], row["cidr"], row["default"]) for row in service.subnets] == [
        ("default", "10.128.0.0/24", True)
    ]
    assert {"physical_network": "external", **fields}.items() <= service.router.items()
    assert sum(line.startswith("changed") for line in said) == 2
    said.clear()
    carry_out(cloud.steps(service, "10.128.0.0/24", external), said.append)
    assert all(line.startswith("unchanged") for line in said)


def test_what_a_cloud_has_stays() -> None:
    blue = {"name": "blue", "cidr": "10.1.0.0/24", "cidr6": "", "default": True}
    router = {"name": "gateway", "physical_network": "external", "address": "203.0.113.9/24", "address6": ""}
    service, said = ServiceStub([blue], router), list[str]()
    with pytest.raises(AlreadyExists, match=r"already has the external address 203\.0\.113\.9/24"):
        carry_out(
            cloud.steps(service, "10.128.0.0/24", cloud.external_gateway("203.0.113.10/24", "203.0.113.1")), said.append
        )
    assert said[1:] == ["unchanged  the default subnet is blue, 10.1.0.0/24"]
    assert service.subnets == [blue]


def test_a_command_that_fails_is_told() -> None:
    assert run("echo", "yes") == "yes\n"
    with pytest.raises(OvnhookError, match="sh -c echo no >&2; exit 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(OvnhookError, match="there is no command nonesuch"):
        run("nonesuch")
    assert not succeeds("false")


@pytest.mark.parametrize("script", ["sleep 60", "kill -ALRM $$", "exit 1"])
def test_what_could_not_be_found_out_is_no_answer(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(command, "_TIMEOUT", 1.0)
    with pytest.raises(OvnhookError):
        succeeds("sh", "-c", script, no=2)
    assert not succeeds("sh", "-c", "exit 2", no=2)
    with pytest.raises(OvnhookError, match="there is no command nonesuch"):
        succeeds("nonesuch")


@pytest.mark.parametrize("script", ["sleep 60", "echo 'ovsdb-tool: I/O error' >&2; exit 1"])
def test_a_member_does_not_join_anew_because_its_file_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    """A busy disk is no reason to put another identity in place of a member's."""
    for tool, what in (("ovsdb-tool", script), ("systemctl", "exit 0")):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{tmp_path}/called\n{what}\n')
        (tmp_path / tool).chmod(0o755)
    for kind in ("nb", "sb"):
        (tmp_path / f"ovn{kind}_db.db").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(command, "_TIMEOUT", 1.0)
    monkeypatch.setattr(cluster._Database, "file", property(lambda self: tmp_path / f"ovn{self.short}_db.db"))
    monkeypatch.setattr(cluster, "_OPTIONS", tmp_path / "options")
    monkeypatch.setattr(listening, "_FOLDER", tmp_path)
    files = keyfiles.AuthorityFiles(tmp_path).databases
    for member in (
        cluster.ClusterMember("192.0.2.1", "", ("192.0.2.1",), files),
        cluster.ClusterMember("192.0.2.2", "192.0.2.1", (), files),
    ):
        with pytest.raises(OvnhookError):
            carry_out(cluster.steps(member), print)
    called = (tmp_path / "called").read_text()
    assert "db-is-" in called
    assert not any(word in called for word in ("create-cluster", "join-cluster", "systemctl stop"))


STATUS = """
Servers:
    aaaa (aaaa at ssl:192.0.2.1:{port}) (self)
    bbbb (bbbb at ssl:[2001:db8::2]:{port}) last msg 12 ms ago
    cccc (cccc at ssl:192.0.2.3:{port}) last msg 12 ms ago
"""


def test_members_that_are_no_control_hosts_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be found again after their removal has failed half way; another cloud's are not ours."""
    monkeypatch.setattr(cluster._Database, "cluster", lambda self, *_: STATUS.format(port=self.raft))
    assert cluster.stale_members(["192.0.2.1", "2001:db8::2"]) == ["192.0.2.3"]
    assert cluster.stale_members(["192.0.2.1", "2001:db8::2", "192.0.2.3"]) == []
    assert cluster.stale_members([]) == []
    assert cluster.stale_members(["192.0.2.9"]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\nOVN_CTL_OPTS="--a=1 --b=2"\n'),
        ("# OVN_CTL_OPTS=\n", '# OVN_CTL_OPTS=\nOVN_CTL_OPTS="--a=1 --b=2"\n'),
        ("OVN_CTL_OPTS='--c=3 --a=9'\nX=1\n", '\nX=1\nOVN_CTL_OPTS="--c=3 --a=1 --b=2"\n'),
        ("OVN_CTL_OPTS=--b=9\nOVN_CTL_OPTS=--d\n", '\nOVN_CTL_OPTS="--d --a=1 --b=2"\n'),
    ],
)
def test_options_of_others_stay(before: str, after: str) -> None:
    """Ours are set, the rest of the file is as it was; once set it is left alone."""
    made = cluster._merged(before, {"a": "1", "b": "2"})
    assert made == after
    assert cluster._merged(made, {"a": "1", "b": "2"}) == made


LOG = "--ovn-northd-log=-vconsole:emer -vsyslog:err"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (f"""OVN_CTL_OPTS="'{LOG}'" """, [LOG]),
        (f"""OVN_CTL_OPTS='"{LOG}" --c=3'""", [LOG, "--c=3"]),
        ("OVN_CTL_OPTS=\"--ovn-northd-log='-vconsole:emer -vsyslog:err'\"", [LOG]),
        (r"""OVN_CTL_OPTS="--x=\"a b\" '--y=it is' --z=$HOME" """, ["--x=a b", "--y=it is", "--z=$HOME"]),
        ("""OVN_CTL_OPTS='--p="it'"'"'s"'""", ["--p=it's"]),
        (r"""OVN_CTL_OPTS='"--q=back\\slash \"quoted\""'""", [r'--q=back\slash "quoted"']),
        ("""OVN_CTL_OPTS="--empty='' ''" """, ["--empty=", ""]),
    ],
)
def test_words_with_blanks_stay_one_word(before: str, words: list[str]) -> None:
    """As ovn-ctl gets them of systemd, which takes the file's quotes away and splits what is left."""
    made = cluster._merged(before, {"a": "1"})
    (line,) = made.splitlines()[1:]
    (value,) = shlex.split(line)
    assert shlex.split(value.removeprefix("OVN_CTL_OPTS=")) == [*words, "--a=1"]
    assert cluster._merged(made, {"a": "1"}) == made


def test_a_member_that_another_host_has_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether before this one asks for its identity or after: it is out, as was wanted."""
    database = cluster._DATABASES[0]
    left = {"ssl:192.0.2.2:6643": "b2c3"}
    kicked: list[str] = []

    def servers(_: object) -> dict[str, str]:
        return dict(left)

    def kick(_: object, command: str, *argv: str) -> str:
        kicked.append(" ".join((command, *argv)))
        left.clear()
        raise OvnhookError("ovs-appctl: unknown server b2c3")

    monkeypatch.setattr(cluster._Database, "servers", servers)
    monkeypatch.setattr(cluster._Database, "cluster", kick)
    cluster._kick(database, "192.0.2.3")
    assert kicked == []
    cluster._kick(database, "192.0.2.2")
    assert kicked == ["kick b2c3"]
    cluster._kick(database, "192.0.2.2")
    assert kicked == ["kick b2c3"]
    stays = {"ssl:192.0.2.2:6643": "b2c3"}
    monkeypatch.setattr(cluster._Database, "servers", lambda _: stays)
    with pytest.raises(OvnhookError, match="unknown server b2c3"):
        cluster._kick(database, "192.0.2.2")


def test_options_that_are_broken_are_told() -> None:
    with pytest.raises(InvalidConfig, match="/etc/default/ovn-central: OVN_CTL_OPTS: No closing quotation"):
        cluster._merged('OVN_CTL_OPTS="--a', {})


def test_a_setting_is_written_where_it_is() -> None:
    """In its own line alone, though another one has the same text in it; what is not there comes at the end."""
    text = '# ca = "/x"\ndatabase_ca = "/x"\nca = "/x"\nname = "a"'
    made = configuration.changed(text, {"ca": "/new\\1", "listen": "[::]:1"})
    assert made == '# ca = "/x"\ndatabase_ca = "/x"\nca = "/new\\\\1"\nname = "a"\nlisten = "[::]:1"\n'
    assert configuration.changed(made, {"ca": "/new\\1", "listen": "[::]:1"}) == made
    assert tomllib.loads(made)["ca"] == "/new\\1"
    for odd in ('ca = """x"""', 'ca = "a"\nca = "b"'):
        with pytest.raises(InUse, match="unsupported syntax"):
            configuration.changed(odd, {"ca": "c"})


def test_a_setting_that_means_nothing_is_not_written(tmp_path: Path) -> None:
    """The file stays what it was."""
    path = tmp_path / "ovnhook.toml"
    path.write_text("deadline = 6.0\n")
    (step,) = configuration.steps({"listen": "nowhere"}, path)
    with pytest.raises(InvalidConfig, match="HOST:PORT"):
        step.apply()
    assert path.read_text() == "deadline = 6.0\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_server_is_started_to_follow_no_row() -> None:
    """What it is told comes after all that an administrator has in OVN_CTL_OPTS, so it holds."""
    files = keyfiles.AuthorityFiles(Path("/ca")).databases
    text = listening.Listening("nb", ["pssl:6641:[::]"], files).text
    command = text.splitlines()[-1]
    assert command.startswith("ExecStart=/usr/share/ovn/scripts/ovn-ctl run_nb_ovsdb $OVN_CTL_OPTS --db-nb-use-remote")
    options, _, more = command.partition(" -- ")
    assert "--db-nb-use-remote-in-db=no" in options.split()
    assert "--ovn-nb-db-ssl-ca-cert=/ca/databases.pem" in options.split()
    assert more.split() == ["--remote=pssl:6641:[::]", "--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5"]
    assert text.splitlines()[1:3] == ["[Service]", "ExecStart="]


@pytest.mark.parametrize(
    ("row", "is_ours"),
    [
        (remotes.Connection("pssl:6641"), True),
        (remotes.Connection("pssl:6641:[::]"), True),
        (remotes.Connection("pssl:6641:0.0.0.0"), False),
        (remotes.Connection("pssl:6642", "ovn-controller"), False),
        (remotes.Connection("ptcp:6641"), False),
        (remotes.Connection("punix:/root/x"), False),
        (remotes.Keys("/k", "/c", "/a"), True),
        (remotes.Keys("/k", "/c", "/a", bootstrap=True), False),
        (remotes.Keys("/k", "/c", "/b"), False),
    ],
)
def test_which_rows_are_ours(row: remotes.Row, *, is_ours: bool) -> None:
    assert remotes.foreign("OVN_Northbound", [row], remotes.Keys("/k", "/c", "/a")) == ([] if is_ours else [row])
