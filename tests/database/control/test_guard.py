"""Rows that tell the databases' servers where to listen: those of others are taken out, and the status tells of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.control import trust
from ovnhook.control.guard import RemotesGuard
from ovnhook.control.trust import Trust
from ovnhook.databases.trust import TrustRow
from ovnhook.ovsdb import appctl
from ovnhook.ovsdb.connection import Database
from ovnhook.pki import keyfiles, members, remotes
from ovnhook.setup import authority as setup
from ovnhook.setup.step import apply_steps
from tests.database.ovsdb_server import NORTHBOUND_SCHEMA, SOUTHBOUND_SCHEMA, Server, run

TARGETS = ("punix:{path}", "ptcp:0:127.0.0.1", "pssl:16641", "tcp:127.0.0.1:1", "unix:{path}", "ssl:127.0.0.1:1")


class ControlDatabases:
    """A control host's databases, whose servers follow rows, as Debian starts them."""

    def __init__(self, directory: Path, make_server: Callable[[str, Path], Server]) -> None:
        self.directory = directory
        self.northbound = make_server("nb", NORTHBOUND_SCHEMA)
        self.southbound = make_server("sb", SOUTHBOUND_SCHEMA)
        for one, tool in ((self.northbound, "ovn-nbctl"), (self.southbound, "ovn-sbctl")):
            run(tool, f"--db={one.remote}", "init")
        authority = keyfiles.AuthorityFiles(directory / "ca")
        self.files, self.clients = authority.databases, authority.northbound.ca
        apply_steps(setup.steps(authority, "c1", "127.0.0.1"), print)
        databases = (
            Database(self.northbound.remote, "OVN_Northbound"),
            Database(self.southbound.remote, "OVN_Southbound"),
        )
        self.trust = Trust(TrustRow(databases[0]), directory / "ca")
        self.control, self.options = f"{self.northbound.directory}/c", directory / "options"
        self.remotes = RemotesGuard(*databases, self.trust, directory / "ca", self.control, self.options)

    def nbctl(self, *words: str) -> str:
        return tell("ovn-nbctl", self.northbound, *words)

    def sbctl(self, *words: str) -> str:
        return tell("ovn-sbctl", self.southbound, *words)

    def listening(self) -> list[str]:
        return appctl.list_remotes(self.control, Deadline.after(20))

    def look(self) -> None:
        self.remotes.restore(Deadline.after(20))


def tell(tool: str, to: Server, *words: str) -> str:
    """What a tool of OVN says."""
    done = subprocess.run([tool, f"--db={to.remote}", *words], check=True, capture_output=True, text=True, timeout=20)
    return done.stdout


@pytest.fixture
def host(directory: Path, make_server: Callable[[str, Path], Server]) -> ControlDatabases:
    """A control host."""
    return ControlDatabases(directory, make_server)


@pytest.mark.parametrize("tool", ["ovn-nbctl", "ovn-sbctl"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_foreign_row_is_taken_out_and_told(host: ControlDatabases, tool: str, target: str) -> None:
    control = host.nbctl if tool == "ovn-nbctl" else host.sbctl
    table = "NB_Global" if tool == "ovn-nbctl" else "SB_Global"
    target = target.format(path=host.directory / "victim")
    control("--id=@c", "create", "connection", f'target="{target}"', "--", "add", table, ".", "connections", "@c")
    host.look()
    assert target not in control("get-connection")
    (told,) = host.remotes.foreign
    assert (told.what, told.database) == (
        f"Connection {target!r}",
        "northbound" if tool == "ovn-nbctl" else "southbound",
    )
    assert abs(told.seen - time.time()) < 600
    host.look()
    assert len(host.remotes.foreign) == 1


def test_what_nodes_need_is_put_back_where_the_server_follows_rows(host: ControlDatabases) -> None:
    """Also where our own row was bent to lead elsewhere."""
    files = [str(host.files.key), str(host.files.certificate), str(host.files.ca)]
    appctl.list_remotes(f"{host.northbound.directory}/c", Deadline.after(20))
    host.look()
    assert host.remotes.follows_rows
    assert host.nbctl("get-connection").split() == ["pssl:6641"]
    host.nbctl("set", "connection", ".", f'target="punix:{host.directory}/victim"')
    host.nbctl("set-ssl", "/a", "/b", "/c")
    host.look()
    assert host.nbctl("get-connection").split() == ["pssl:6641"]
    assert all(path in host.nbctl("get-ssl") for path in files)
    host.nbctl("del-ssl", "--", "del-connection")
    host.look()
    assert host.nbctl("get-connection").split() == ["pssl:6641"]
    assert all(path in host.nbctl("get-ssl") for path in files)
    assert sorted(one.what for one in host.remotes.foreign) == [
        f"Connection 'punix:{host.directory}/victim'",
        "SSL '/a', '/b', '/c'",
    ]


def test_rows_of_ours_and_a_server_that_follows_none_are_left_alone(host: ControlDatabases) -> None:
    """Among them those of a cluster, and of hosts that are reached by IPv6."""
    control = f"{host.northbound.directory}/c"
    run("ovs-appctl", "-t", control, "ovsdb-server/remove-remote", "db:OVN_Northbound,NB_Global,connections")
    host.sbctl("set-connection", "pssl:16642:[::]", "role=ovn-controller", "pssl:6642", "pssl:6642:[::]")
    before = host.sbctl("list", "connection")
    host.look()
    assert not host.remotes.follows_rows
    assert host.nbctl("get-connection") == ""
    assert host.nbctl("list", "SSL") == ""
    host.nbctl("set-connection", "pssl:6641")
    host.look()
    assert host.nbctl("get-connection").split() == ["pssl:6641"]
    assert host.sbctl("list", "connection") == before
    assert host.remotes.foreign == ()


def test_a_port_without_its_role_is_foreign(host: ControlDatabases) -> None:
    """By it nodes would be kept from nothing."""
    host.sbctl("set-connection", "pssl:6642")
    host.look()
    assert host.sbctl("get-connection") == ""
    assert [one.what for one in host.remotes.foreign] == ["Connection 'pssl:6642'"]


@pytest.mark.parametrize("target", ["pssl:6641:127.0.0.1", "pssl:6641"])
def test_the_listener_for_nodes_is_closed(
    host: ControlDatabases, monkeypatch: pytest.MonkeyPatch, target: str, make_port: Callable[[], int]
) -> None:
    """When no node needs it, and again after the server was started anew; another one is an administrator's."""
    port = make_port()  # 6641 may be another's on this machine
    monkeypatch.setitem(remotes._PORTS, "OVN_Northbound", {port: ""})
    target = target.replace("6641", str(port))
    run("ovs-appctl", "-t", host.control, "ovsdb-server/add-remote", target)
    host.look()
    assert target in host.listening()
    monkeypatch.setattr(trust, "_DATABASES", ())
    host.trust.change(members.CLOSING, Deadline.after(20))
    for _ in range(2):
        host.look()
        assert (target in host.listening()) == ("127.0.0.1" in target)
        run("ovs-appctl", "-t", host.control, "ovsdb-server/add-remote", target)


def test_a_server_that_an_earlier_version_has_set_up(host: ControlDatabases) -> None:
    """It accepts nodes after the withdrawal, too, and the status says so."""
    for options, accepts in ((f"--ca={host.files.ca}", True), (f"--ca={host.clients}", False), ("", True)):
        host.options.write_text(options)
        host.look()
        assert host.remotes.accepts_nodes == accepts
