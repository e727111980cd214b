"""Trusted clients: join tokens, certificates of the cloud's own authority, revocation. Real databases, real TLS."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.client import Client
from ovnhook.api.v1 import changes_pb2, changes_pb2_grpc
from ovnhook.base.config import SERVER_NAME
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    OvnhookError,
    PermissionDenied,
    Unavailable,
)
from ovnhook.ovsdb.operation import select
from ovnhook.pki import keyfiles, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.keyfiles import Files
from ovnhook.setup import authority as setup
from ovnhook.setup.step import apply_steps
from tests.database.control_host import ControlHost, cloud
from tests.database.hostwatch import HostWatch
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

__all__ = ["cloud"]  # the fixture


def stored(cloud: ControlHost) -> dict[str, Any]:
    """All rows but those in which the server itself says who is connected."""
    return {table: found for table, found in cloud.control.northbound.dump().items() if table != "Connection"}


def test_a_token_lets_one_host_in_once(cloud: ControlHost) -> None:
    """It has its certificate then, for the service and the database; the token is good for nothing more."""
    token = cloud.create_token("hv1")
    assert token.fingerprint == x509.fingerprint(cloud.files.own.certificate.read_bytes())
    assert token.secret not in str(cloud.control.northbound.dump())
    shown = cloud.enrol(token)
    assert x509.subject_of(shown.certificate.read_bytes()) == x509.Subject("hv1", x509.NODE)
    assert cloud.trusts(shown)
    wait_for(lambda: cloud.database_trusts(shown))
    with pytest.raises(PermissionDenied, match="invalid, used or expired"):
        cloud.enrol(token)
    found = cloud.client.pages("ListCertificates", "certificates")
    assert [(one["role"], one["name"]) for one in found] == [("control", "c1"), ("node", "hv1")]
    ends = int(x509.expires(shown.certificate.read_bytes()).timestamp())
    assert [one["expires"] for one in found][1] == ends
    assert time.strftime("%Y-%m-%d", time.gmtime(ends)) in cloud.ovnhook("certificate", "list").out


def test_a_certificate_that_was_not_renewed_is_told(cloud: ControlHost) -> None:
    """By the status, with the host; one that has been renewed is not."""
    assert "certificate" not in cloud.ovnhook("status").out
    shown = cloud.files.databases
    request = x509.request(shown.key.read_bytes())
    short = cloud.files.load().issue_server(request, "c1", ["127.0.0.1"], timedelta(days=14))
    keyfiles.replace_certificate(shown, short)
    cloud.create_token("hv1")  # has looked
    assert (
        "problem: host c1: its control certificate expires in 14 d and was not renewed" in cloud.ovnhook("status").out
    )
    apply_steps(setup.steps(cloud.files, "c1", "127.0.0.2"), print)
    cloud.create_token("hv1")
    assert "certificate" not in cloud.ovnhook("status").out


def test_of_many_hosts_with_one_token_one_gets_in(cloud: ControlHost) -> None:
    """The others are told; no second certificate is good."""
    token = cloud.create_token("hv1")

    def tried(_: int) -> Files | None:
        other = replace(cloud, folder=cloud.folder / os.urandom(4).hex())
        try:
            return other.enrol(token)
        except PermissionDenied:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(tried, range(8)) if one]
    assert len(made) == 1
    assert cloud.trusts(made[0])


def expired(cloud: ControlHost, token: tokens.Token) -> tokens.Token:
    """A token, when its time is over."""
    wait_for(lambda: time.time() > cloud.token_created_at + 3)
    return token


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cloud, token: replace(token, secret=tokens.new_secret()),
        lambda cloud, token: cloud.create_token("hv1") and token,
        expired,
    ],
    ids=["guessed", "another was made", "expired"],
)
def test_no_other_token_does(
    cloud: ControlHost, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[ControlHost, tokens.Token], tokens.Token]
) -> None:
    """One that was guessed, that another one has replaced, or whose time is over."""
    monkeypatch.setattr(tokens, "LIFETIME", 1)
    token = spoil(cloud, cloud.create_token("hv1"))
    with pytest.raises(PermissionDenied, match="invalid, used or expired join token"):
        cloud.enrol(token)


@pytest.mark.parametrize("secret", ["", "x", "x" * 100_000, "a\nb", "ä"])
def test_nonsense_at_the_door(cloud: ControlHost, secret: str) -> None:
    """Nobody gets in with it, and it is told as any other token."""
    before = cloud.control.northbound.dump()
    with pytest.raises(PermissionDenied, match="invalid, used or expired"):
        cloud.enrol(replace(cloud.create_token("hv1"), secret=secret))
    assert [*cloud.control.northbound.dump()["DNS"]] == [*before["DNS"]]


def test_whom_the_door_is_for(cloud: ControlHost) -> None:
    """Where hosts join nothing else is served, and where all else is nobody comes without a certificate."""
    ca = cloud.files.own.certificate.read_bytes()
    token = cloud.create_token("hv1")
    with pytest.raises(Unavailable):
        Client(None).enrol(replace(token, servers=[cloud.api]), ca, x509.request(x509.new_key()), "")
    shown = cloud.enrol(token)
    with pytest.raises(OvnhookError, match="does not implement this method"):
        Client(None).is_trusted(token.servers, shown)


def test_who_is_revoked_is_let_in_no_more(cloud: ControlHost) -> None:
    """From the next call on, whatever connection it comes by; the others stay. Joining anew does not bring it back."""
    add_chassis(cloud.control.southbound, "hv2")
    first, second = cloud.enrol(cloud.create_token("hv1")), cloud.enrol(cloud.create_token("hv2"))
    wait_for(lambda: cloud.database_trusts(first) and cloud.database_trusts(second))
    database = cloud.database(first)
    assert database.transact([select("SB_Global")], Deadline.after(HANG)) != [[]]

    cloud.client.call("RemoveNode", name="hv1")
    wait_for(database.keep_alive)  # the connection that was open has ended
    assert not cloud.database_trusts(first)
    database.close()
    assert not cloud.trusts(first)
    assert cloud.trusts(second)
    assert cloud.database_trusts(second)

    again = cloud.enrol(cloud.create_token("hv1"))
    wait_for(lambda: cloud.database_trusts(again))
    assert cloud.trusts(again)
    assert not cloud.trusts(first)
    assert not cloud.database_trusts(first)
    assert cloud.database_trusts(again)


def test_a_control_host_shows_its_new_certificate(cloud: ControlHost) -> None:
    """The service and the database, to who comes after it was renewed; again, when it is renewed once more."""
    shown = cloud.files.databases
    authority = cloud.files.load()
    ports = [int(where.rpartition(":")[2]) for where in (cloud.api, cloud.northbound, cloud.southbound)]
    for _ in range(3):
        request = x509.request(shown.key.read_bytes())
        made = authority.issue_server(request, "c1", ["127.0.0.1"])
        keyfiles.replace_certificate(shown, made)
        for port in ports:
            wait_for(lambda: ssl.get_server_certificate(("127.0.0.1", port)).encode() == x509.split(made)[0])  # noqa: B023


def test_a_control_host_that_moves(cloud: ControlHost) -> None:
    """Tokens lead to where its certificate is for, from its next one on."""
    assert [where.rpartition(":")[0] for where in cloud.create_token("hv1").servers] == ["127.0.0.1"]
    apply_steps(setup.steps(cloud.files, "c1", "127.0.0.2"), print)
    assert [where.rpartition(":")[0] for where in cloud.create_token("hv1").servers] == ["127.0.0.2"]


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("CreateToken", {"name": "hv1"}),
        ("IssueCertificate", {"name": "ann", "role": "reader"}),
        ("RenewCertificate", {}),
        ("ListCertificates", {}),
        ("RevokeCertificate", {"name": "ann", "role": "reader"}),
    ],
)
def test_a_database_that_is_silent(cloud: ControlHost, method: str, fields: dict[str, str]) -> None:
    """The client hears of it in time, and nothing is written when the database goes on."""
    before = stored(cloud)
    cloud.control.northbound.pause()
    try:
        with pytest.raises(Unavailable):
            Client(cloud.path, 0.4).call(method, **fields)
    finally:
        cloud.control.northbound.resume()
    assert stored(cloud) == before


def test_people(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An operator and a reader come near the service, by their roles, and never near a database."""
    monkeypatch.chdir(tmp_path)
    for name, role in (("alice", "operator"), ("bob", "reader")):
        done = cloud.ovnhook("certificate", "create", name, "--role", role)
        assert (done.status, done.error) == (0, "")
        assert (tmp_path / f"{name}.key").stat().st_mode & 0o777 == 0o600
        shown = Files(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", tmp_path / "ca.pem")
        assert cloud.trusts(shown)
        assert not cloud.database_trusts(shown)
        assert not cloud.northbound_trusts(shown)
    done = cloud.ovnhook("certificate", "create", "bob", "--role", "reader")
    assert "bob.key already exists" in done.error
    with pytest.raises(AlreadyExists, match="reader bob has a certificate"):
        cloud.client.call("IssueCertificate", name="bob", role="reader", request=x509.request(x509.new_key()).decode())
    cloud.client.call("RevokeCertificate", name="bob", role="reader")
    assert not cloud.trusts(shown)
    with pytest.raises(NotFound, match="reader bob has no certificate"):
        cloud.client.call("RevokeCertificate", name="bob", role="reader")


@pytest.mark.parametrize(
    ("method", "fields", "kind"),
    [
        ("CreateToken", {"name": "../x"}, InvalidRequest),
        ("CreateToken", {"name": ""}, InvalidRequest),
        ("CreateToken", {"name": "alice", "role": "operator"}, InvalidRequest),
        ("IssueCertificate", {"name": "hv1", "role": "node"}, InvalidRequest),
        ("IssueCertificate", {"name": "alice", "role": "operator", "request": "x"}, InvalidRequest),
        ("RevokeCertificate", {"name": "nobody", "role": "operator"}, NotFound),
        ("RenewCertificate", {"request": "x"}, NotFound),
    ],
)
def test_what_is_refused(cloud: ControlHost, method: str, fields: dict[str, str], kind: type[OvnhookError]) -> None:
    """And nothing is changed."""
    before = stored(cloud)
    with pytest.raises(kind):
        cloud.client.call(method, **fields)
    assert stored(cloud) == before


def test_a_stream_ends_with_who_listens(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A revoked client receives no further change."""
    monkeypatch.chdir(tmp_path)
    assert cloud.ovnhook("certificate", "create", "bob", "--role", "reader").status == 0
    files = [(tmp_path / name).read_bytes() for name in ("ca.pem", "bob.key", "bob.pem")]
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    with grpc.secure_channel(cloud.api, grpc.ssl_channel_credentials(*files), options) as channel:
        stream = changes_pb2_grpc.ChangesStub(channel).WatchChanges(
            changes_pb2.WatchChangesRequest(existing=True), timeout=HANG
        )
        assert next(stream).type == changes_pb2.Change.SYNCED
        cloud.client.call("RevokeCertificate", name="bob", role="reader")
        assert cloud.ovnhook("subnet", "create", "secret", "10.9.0.0/24").status == 0
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.CANCELLED)


def test_an_idle_stream_ends_with_who_listens(cloud: ControlHost) -> None:
    """Also without a change: a revoked node does not count as alive, and keeps no domain by that."""
    add_chassis(cloud.control.southbound, "hv1", options="")
    shown = cloud.enrol(cloud.create_token("hv1"))
    files = [path.read_bytes() for path in (shown.ca, shown.key, shown.certificate)]
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    with grpc.secure_channel(cloud.api, grpc.ssl_channel_credentials(*files), options) as channel:
        watch = HostWatch(channel, "hv1")
        assert watch.next().full
        assert cloud.service.hosts.hosts() == {"hv1"}
        cloud.client.call("RevokeCertificate", name="hv1", role="node")
        with pytest.raises(grpc.RpcError) as ended:
            watch.next()
        assert ended.value.code() == grpc.StatusCode.CANCELLED
        wait_for(lambda: cloud.service.hosts.hosts() == set())
