"""Databases by TLS: who is served, what is said to who is not, and what a silent server costs."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.databases.southbound import Southbound
from ovnhook.ovsdb import tls
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.resources.chassis import Report
from tests.database.openssl import OpensslAuthority
from tests.database.ovsdb_server import Server, run, wait_for
from tests.database.southbound_rows import add_chassis

Pair = tuple[Path, Path]
ASK = [select("Logical_Switch", columns=["name"])]


def config(pair: Pair, ca: Path) -> Config:
    """One that shows a certificate, and trusts somebody."""
    return Config(database_certificate=str(pair[0]), database_private_key=str(pair[1]), database_ca=str(ca))


@pytest.fixture
def secure(northbound: Server, authority: OpensslAuthority, port: int) -> Iterator[Database]:
    """A northbound database that listens by TLS too."""
    certificate, key = authority.sign("server")
    run("ovn-nbctl", f"--db={northbound.remote}", "set-ssl", str(key), str(certificate), str(authority.certificate))
    run("ovn-nbctl", f"--db={northbound.remote}", "set-connection", f"pssl:{port}:127.0.0.1")
    wait_for(lambda: accepts(port))
    database = Database(f"ssl:127.0.0.1:{port}", "OVN_Northbound")
    yield database
    database.close()
    tls.configure(Config())


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_certificate_is_served(secure: Database, authority: OpensslAuthority, northbound: Server) -> None:
    """It reads, more than a record of TLS holds as well."""
    tls.configure(config(authority.sign("hv1"), authority.certificate))
    names = sorted(f"{'x' * 200}{number}" for number in range(300))
    northbound.transact(*({"op": "insert", "table": "Logical_Switch", "row": {"name": name}} for name in names))
    (rows,) = secure.transact(ASK, Deadline.after(HANG))
    assert sorted(row["name"] for row in rows) == names


@pytest.mark.parametrize(
    "show",
    [
        lambda ours, _: config(ours.sign("late", days=-1), ours.certificate),
        lambda ours, other: config(other.sign("stranger"), ours.certificate),
        lambda ours, other: config(ours.sign("deceived"), other.certificate),
        lambda ours, _: config((Path("/nonexistent"), Path("/nonexistent")), ours.certificate),
        lambda ours, _: Config(),
    ],
    ids=["expired", "of another CA", "the server is of another CA", "no file", "none"],
)
def test_others_get_nothing(
    secure: Database,
    authority: OpensslAuthority,
    directory: Path,
    show: Callable[[OpensslAuthority, OpensslAuthority], Config],
) -> None:
    """They are told at once, and why."""
    tls.configure(show(authority, OpensslAuthority(directory, "other")))
    deadline = Deadline.after(2 * HANG)
    with pytest.raises(Unavailable, match="TLS failed"):
        secure.transact(ASK, deadline)
    assert deadline.remaining > HANG


def test_a_certificate_is_renewed_in_place(secure: Database, authority: OpensslAuthority) -> None:
    """The next connection shows the new one; nothing is started anew."""
    tls.configure(config(authority.sign("hv1", days=-1), authority.certificate))
    with pytest.raises(Unavailable):
        secure.transact(ASK, Deadline.after(HANG))
    authority.sign("hv1")
    assert secure.transact(ASK, Deadline.after(HANG)) == [[]]


def test_an_agent_tells_of_its_own_host_alone(
    northbound: Server, southbound: Server, authority: OpensslAuthority, port: int, directory: Path
) -> None:
    """OVN's access control lets the certificate of a chassis write what its agent tells of it, and of no other."""
    certificate, key = authority.sign("server")
    tool = ("ovn-sbctl", f"--db={southbound.remote}")
    run(*tool, "set-ssl", str(key), str(certificate), str(authority.certificate))
    run(*tool, "set-connection", "role=ovn-controller", f"pssl:{port}:127.0.0.1")
    for host in ("hv1", "hv2"):
        add_chassis(southbound, host)
    places = (f"--ovnnb-db={northbound.remote}", f"--ovnsb-db={southbound.remote}", f"--unixctl={directory}/northd")
    with subprocess.Popen(["ovn-northd", "-vconsole:off", *places]) as northd:  # it writes who may do what
        try:
            wait_for(lambda: southbound.dump()["RBAC_Role"] and accepts(port))
        finally:
            northd.terminate()
    tls.configure(config(authority.sign("hv1"), authority.certificate))
    there = Southbound(f"ssl:127.0.0.1:{port}")
    assert [node.name for node in there.nodes(Deadline.after(HANG))] == ["hv1", "hv2"]
    report = Report("1.0", "3.1.0", ())
    assert there.publish("hv1", report, 1.0, Deadline.after(HANG))
    assert [node.agent for node in there.nodes(Deadline.after(HANG))] == ["1.0", ""]
    with pytest.raises(OvnhookError, match="permission error"):
        there.publish("hv2", report, 1.0, Deadline.after(HANG))
    there.database.close()
    tls.configure(Config())


def test_a_silent_server_costs_nothing(authority: OpensslAuthority) -> None:
    """One that accepts, and says nothing, is waited for until the deadline without using the processor."""
    tls.configure(config(authority.sign("hv1"), authority.certificate))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"ssl:127.0.0.1:{silent.getsockname()[1]}", "OVN_Northbound")
        used = time.process_time()
        with pytest.raises(Unavailable, match="no answer in time"):
            database.transact(ASK, Deadline.after(1))
        assert time.process_time() - used < 0.3
    tls.configure(Config())
