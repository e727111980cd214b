"""Rows that tell the databases' servers where to listen: those of others are taken out, and the status tells of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.control.guard import RemotesGuard
from ovnhook.ovsdb import appctl
from ovnhook.ovsdb.connection import Database
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.x509 import Authority
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
        self.files = keyfiles.AuthorityFiles(directory / "ca").databases
        authority, key = Authority.new(), x509.new_key()
        keyfiles.write(self.files.key, key, keyfiles.SECRET)
        made = authority.issue_server(x509.request(key), "c1", ["127.0.0.1"])
        keyfiles.write(self.files.certificate, made, keyfiles.PUBLIC)
        keyfiles.write(self.files.ca, authority.certificate, keyfiles.PUBLIC)
        databases = (
            Database(self.northbound.remote, "OVN_Northbound"),
            Database(self.southbound.remote, "OVN_Southbound"),
        )
        self.remotes = RemotesGuard(*databases, directory / "ca", f"{self.northbound.directory}/c")

    def nbctl(self, *words: str) -> str:
        return tell("ovn-nbctl", self.northbound, *words)

    def sbctl(self, *words: str) -> str:
        return tell("ovn-sbctl", self.southbound, *words)

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
