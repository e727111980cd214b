"""A control host with an authority, as "ovnhook node init --control" sets it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.api.client import Client
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    Unavailable,
)
from ovnhook.control import trust
from ovnhook.control.server import ControlServer
from ovnhook.ovsdb import tls
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.pki import keyfiles, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.keyfiles import AuthorityFiles, Files
from ovnhook.setup import authority as setup
from ovnhook.setup.step import apply_steps
from tests.database.control_service import CommandResult, Control
from tests.database.ovsdb_server import run


@dataclass
class ControlHost:
    """A control host with a certificate authority: its service and its databases, with TLS.

    Attributes:
        path: path of the service's socket.
        client: client of root on the control host.
        files: files of the certificate authority.
        api: address of the service.
        northbound: remote of the northbound database, as an earlier version opened it for nodes.
        southbound: remote of the southbound database.
        folder: directory for files of other hosts.
        control: databases.
        service: control service.
        config: its configuration.
        token_created_at: time at which the last token was created.
    """

    path: Path
    client: Client
    files: AuthorityFiles
    api: str
    northbound: str
    southbound: str
    folder: Path
    control: Control
    service: ControlServer
    config: Config
    token_created_at: float = 0.0

    def create_token(self, name: str) -> tokens.Token:
        """Create a join token for a host."""
        self.token_created_at = time.time()
        return tokens.parse(self.client.call("CreateToken", name=name)["token"])

    def ovnhook(self, *arguments: str) -> CommandResult:
        """Run the command as root on the control host."""
        return self.control.ovnhook("--socket", str(self.path), *arguments)

    def enrol(self, token: tokens.Token) -> Files:
        """Join with a token, and return the files of the host."""
        made = keyfiles.node(self.folder / f"{token.name}-{token.digest[:6]}")
        keyfiles.write(made.key, x509.new_key(), keyfiles.SECRET)
        ca = self.files.own.certificate.read_bytes()
        answer = Client(None).enrol(token, ca, x509.request(made.key.read_bytes()), "192.0.2.9")
        keyfiles.write(made.ca, ca, keyfiles.PUBLIC)
        keyfiles.write(made.certificate, answer["certificate"].encode(), keyfiles.PUBLIC)
        assert answer["authority_key"] == ""
        return made

    def trusts(self, pair: Files) -> bool:
        """True if the service accepts a certificate."""
        return Client(None).is_trusted([self.api], pair)

    def database(self, pair: Files) -> Database:
        """Client of the southbound database with a certificate."""
        return self._client(pair, self.southbound, "OVN_Southbound")

    def _client(self, pair: Files, remote: str, name: str) -> Database:
        tls.configure(
            Config(
                database_certificate=str(pair.certificate),
                database_private_key=str(pair.key),
                database_ca=str(pair.ca),
            )
        )
        return Database(remote, name)

    def database_trusts(self, pair: Files) -> bool:
        """True if the southbound database accepts a certificate."""
        return self._trusts(self.database(pair), "SB_Global")

    def northbound_trusts(self, pair: Files) -> bool:
        """True if the northbound database accepts a certificate."""
        return self._trusts(self._client(pair, self.northbound, "OVN_Northbound"), "NB_Global")

    def _trusts(self, database: Database, table: str) -> bool:
        try:
            return bool(database.transact([select(table)], Deadline.after(HANG)))
        except Unavailable:
            return False
        finally:
            database.close()


@pytest.fixture
def cloud(
    control: Control, directory: Path, make_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ControlHost]:
    """Control host as after "ovnhook node init --control"."""
    sockets = [f"{one.directory}/c" for one in (control.northbound, control.southbound)]
    monkeypatch.setattr(trust, "_DATABASES", sockets)
    files = AuthorityFiles(directory / "ca")
    config = with_authority(files, control.config, make_port)
    ports = [make_port(), make_port()]
    path = directory / "run" / "own.sock"
    service = ControlServer(path, config)
    service.start()
    for tool, server, shown, port in (
        ("ovn-nbctl", control.northbound, files.northbound, ports[0]),
        ("ovn-sbctl", control.southbound, files.databases, ports[1]),
    ):
        run(tool, f"--db={server.remote}", "set-ssl", str(shown.key), str(shown.certificate), str(shown.ca))
        run(tool, f"--db={server.remote}", "set-connection", f"pssl:{port}:127.0.0.1")
    northbound, southbound = (f"ssl:127.0.0.1:{port}" for port in ports)
    others = directory / "others"
    made = ControlHost(
        path, Client(path), files, config.listen, northbound, southbound, others, control, service, config
    )
    yield made
    made.service.stop()
    tls.configure(Config())


def with_authority(files: AuthorityFiles, config: Config, make_port: Callable[[], int]) -> Config:
    """Create a certificate authority, and the configuration to serve over TCP with it, as "ovnhook node init" does."""
    apply_steps(setup.steps(files, "c1", "127.0.0.1"), print)
    return replace(
        config,
        authority=str(files.folder),
        listen=f"127.0.0.1:{make_port()}",
        enrolment=f"127.0.0.1:{make_port()}",
        certificate=str(files.api.certificate),
        private_key=str(files.api.key),
        ca=str(files.api.ca),
    )
