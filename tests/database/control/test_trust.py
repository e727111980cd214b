"""The row of trusted clients, whose entries are sealed: earlier ones, others' writes, two control hosts at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook.api.v1 import certificates_pb2
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidConfig,
    PermissionDenied,
)
from ovnhook.control import trust
from ovnhook.control.server import ControlServer
from ovnhook.control.services.certificates import Certificates
from ovnhook.control.trust import Trust
from ovnhook.databases.trust import TrustRow as Row
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import key
from ovnhook.pki import keyfiles, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.setup import authority as setup
from ovnhook.setup.step import apply_steps
from tests.database.control_host import ControlHost, cloud
from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for

__all__ = ["cloud"]  # the fixture


KIND = ["ovnhook:kind", "trust"]


def entries(cloud: ControlHost) -> dict[str, str]:
    """Entries of the trust row in the database."""
    (row,) = (row for row in cloud.control.northbound.dump()["DNS"].values() if KIND in row["external_ids"][1])
    return dict(row["records"][1])


def write(cloud: ControlHost, found: dict[str, str]) -> None:
    """Bring entries into the database, as somebody does who may write to it."""
    pairs = [[key, value] for key, value in found.items()]
    mutations = [["records", "delete", ["set", [*found]]], ["records", "insert", ["map", pairs]]]
    change = {"op": "mutate", "table": "DNS", "where": [key(uuids.TRUST)], "mutations": mutations}
    cloud.control.northbound.transact(change)


def test_nobody_lets_himself_in_who_may_write_to_the_database(cloud: ControlHost) -> None:
    """Neither by an anchor nor by a token, nor as a control host: the seal is missing, or another's."""
    node = cloud.enrol(cloud.create_token("hv1"))
    other = x509.Authority.new()
    eve = x509.Subject("eve", x509.OPERATOR)
    anchor, secret = other.anchor(eve), x509.new_key()
    shown = keyfiles.node(cloud.folder / "eve")
    keyfiles.write(shown.key, secret, keyfiles.SECRET)
    keyfiles.write(shown.certificate, other.issue(x509.request(secret), eve, anchor), keyfiles.PUBLIC)
    keyfiles.write(shown.ca, cloud.files.own.certificate.read_bytes(), keyfiles.PUBLIC)
    fake = replace(cloud.create_token("hv2"), secret=tokens.new_secret(), role=x509.CONTROL)
    stolen = next(value for name, value in entries(cloud).items() if name.startswith("node hv1 "))
    sound = entries(cloud)
    plain = {
        x509.name_of(anchor): anchor.decode(),
        f"token {fake.digest}": "control evil 4000000000",
        "control 0evil 1": "192.0.2.66",
        "operator eve 1": stolen,
        "nonsense": "",
    }
    write(cloud, plain | {name: f"{value} {other.seal(name, value)}" for name, value in plain.items()} | {"x y": "z"})
    wait_for(lambda: entries(cloud) == sound)
    with pytest.raises(PermissionDenied, match="invalid, used or expired"):
        cloud.enrol(fake)
    assert not cloud.trusts(shown)
    assert cloud.trusts(node)
    assert len(x509.split(cloud.files.api.ca.read_bytes())) == 2


def earlier(cloud: ControlHost, found: dict[str, str]) -> dict[str, str]:
    """Entries with the seals of an earlier version."""
    secret = cloud.files.load().key
    values = {name: value.rpartition(" ")[0] for name, value in found.items()}
    return {
        name: f"{value} {hmac.new(secret, f'{name}{chr(10)}{value}'.encode(), hashlib.sha256).hexdigest()}"
        for name, value in values.items()
    }


@pytest.mark.parametrize("seal", [earlier, lambda _, found: found], ids=["earlier", "present"])
def test_a_seal_is_of_one_key_and_one_value(
    cloud: ControlHost, seal: Callable[[ControlHost, dict[str, str]], dict[str, str]]
) -> None:
    """A genuine entry whose value begins later, and whose key ends later for that, is nobody's: no ghost is listed."""
    node = cloud.enrol(cloud.create_token("hv1"))
    sound = seal(cloud, entries(cloud))
    write(cloud, sound)
    ghosts = {}
    for name, value in sound.items():
        first, *rest = value.split("\n")
        for place in range(1, len(rest) + 1):
            ghosts["\n".join((name, first, *rest[: place - 1]))] = "\n".join(rest[place - 1 :])
    assert len(ghosts) > 5
    write(cloud, ghosts)
    wait_for(lambda: entries(cloud) == sound)
    assert [one["name"] for one in cloud.client.pages("ListCertificates", "certificates")] == ["c1", "hv1"]
    assert "\n-----BEGIN CERTIFICATE-----" not in cloud.files.ledger.read_text()
    assert cloud.trusts(node)


def test_a_cloud_of_an_earlier_version(cloud: ControlHost) -> None:
    """Its entries keep their seals and their effect: tokens are valid, nodes stay trusted and can be revoked."""
    first, token = cloud.enrol(cloud.create_token("hv1")), cloud.create_token("hv2")
    old = earlier(cloud, entries(cloud))
    cloud.service.stop()
    write(cloud, old)
    cloud.files.ledger.write_text(json.dumps(old))
    cloud.service = ControlServer(cloud.path, cloud.config)
    cloud.service.start()
    assert entries(cloud) == old
    second = cloud.enrol(token)
    assert cloud.trusts(first)
    assert cloud.trusts(second)
    cloud.client.call("RevokeCertificate", name="hv1", role="node")
    assert not cloud.trusts(first)
    assert cloud.trusts(second)


def test_two_control_hosts_issue_one_name(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that looked before the other one wrote is refused when it writes; so is an older token."""
    row = Row(Database(cloud.control.northbound.remote, "OVN_Northbound"))
    other = Certificates(Trust(row, cloud.files.folder), Config(enrolment="127.0.0.1:1"))
    write_row = row.change
    meanwhile: list[Callable[[], object]] = []

    def late(*arguments: Any, **more: Any) -> None:
        while meanwhile:
            meanwhile.pop()()
        write_row(*arguments, **more)

    monkeypatch.setattr(row, "change", late)

    def alice() -> dict[str, str]:
        return {"name": "alice", "role": "operator", "request": x509.request(x509.new_key()).decode()}

    meanwhile.append(lambda: cloud.client.call("IssueCertificate", **alice()))
    with pytest.raises(AlreadyExists, match="operator alice has a certificate"):
        other.IssueCertificate(certificates_pb2.IssueCertificateRequest(**alice()), Deadline.after(HANG))
    listed = [one["name"] for one in cloud.client.pages("ListCertificates", "certificates")]
    assert listed.count("alice") == 1

    made: list[tokens.Token] = []
    meanwhile.append(lambda: made.append(cloud.create_token("hv1")))
    last = other.CreateToken(certificates_pb2.CreateTokenRequest(name="hv1"), Deadline.after(HANG)).token
    with pytest.raises(PermissionDenied, match="invalid, used or expired"):
        cloud.enrol(made[0])
    assert cloud.trusts(cloud.enrol(replace(made[0], secret=tokens.parse(last).secret)))


def test_what_is_gone_stays_gone(cloud: ControlHost) -> None:
    """Also if an old state of one entry, or of all, is restored; hosts that have joined since stay trusted."""
    first = cloud.enrol(cloud.create_token("hv1"))
    token = cloud.create_token("hv2")
    old = entries(cloud)
    second = cloud.enrol(token)
    cloud.client.call("RevokeCertificate", name="hv1", role="node")
    sound = entries(cloud)
    write(cloud, old)
    wait_for(lambda: entries(cloud) == sound)
    cloud.control.northbound.transact({"op": "delete", "table": "DNS", "where": [key(uuids.TRUST)]})
    wait_for(lambda: "trust" in str(cloud.control.northbound.dump().get("DNS")) and entries(cloud) == sound)
    assert not cloud.trusts(first)
    assert not cloud.database_trusts(first)
    assert cloud.trusts(second)
    assert cloud.database_trusts(second)
    with pytest.raises(PermissionDenied, match="invalid, used or expired"):
        cloud.enrol(token)


def test_a_database_that_can_not_be_cut_off(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and tried until it can; all else goes on, also after a restart of the service."""
    first = cloud.enrol(cloud.create_token("hv1"))
    silent = cloud.folder / "silent"
    right = trust._DATABASES
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(silent))
        listener.listen()
        monkeypatch.setattr(trust, "_TIMEOUT", 0.4)
        monkeypatch.setattr(trust, "_DATABASES", (str(silent),))
        cloud.client.call("RevokeCertificate", name="hv1", role="node")
        assert cloud.files.cut.exists()
        assert not cloud.trusts(first)
        assert cloud.enrol(cloud.create_token("hv2"))
    monkeypatch.setattr(trust, "_DATABASES", right)
    wait_for(lambda: not cloud.files.cut.exists())


def test_without_an_authority(control: Control) -> None:
    """It is said what to do."""
    for method, fields in (("CreateToken", {"name": "hv1"}), ("ListCertificates", {})):
        with pytest.raises(FailedPrecondition, match="no certificate authority"):
            control.client().call(method, **fields)


def test_an_authority_that_is_none(control: Control, directory: Path) -> None:
    """The service does not start, and says why."""
    with pytest.raises(InvalidConfig, match="No such file"):
        ControlServer(directory / "run" / "x.sock", replace(control.config, authority=str(directory / "none"))).start()
    files = AuthorityFiles(directory / "ca")
    apply_steps(setup.steps(files, "c1", "127.0.0.1"), print)
    files.ledger.write_text("{")
    with pytest.raises(InvalidConfig, match=r"ledger\.json: .*remove it: the database has a copy"):
        ControlServer(directory / "run" / "x.sock", replace(control.config, authority=str(files.folder))).start()
    files.own.key.write_bytes(x509.new_key())
    with pytest.raises(InvalidConfig, match="does not match its certificate"):
        ControlServer(directory / "run" / "x.sock", replace(control.config, authority=str(files.folder))).start()
