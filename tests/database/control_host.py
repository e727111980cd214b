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
from ovnhook.setup.step import carry_out
from tests.database.control_service import CommandResult, Control
from tests.database.ovsdb_server import run


@dataclass
class ControlHost:
    """A control host with an authority: its service by TLS, and its northbound database, which listens by TLS too.

    Attributes:
        path: of the service's socket.
        client: root's, on the control host.
        files: of the authority.
        api: where the service is.
        northbound: where the database is.
        folder: for what others have.
        control: the databases.
        service: the control service.
        config: its settings.
        invited: when a token was made last.
    """

    path: Path
    client: Client
    files: AuthorityFiles
    api: str
    northbound: str
    folder: Path
    control: Control
    service: ControlServer
    config: Config
    invited: float = 0.0

    def invite(self, name: str) -> tokens.Token:
        """A token for a host."""
        self.invited = time.time()
        return tokens.parse(self.client.call("CreateToken", name=name)["token"])

    def ovnhook(self, *arguments: str) -> CommandResult:
        """Run the command as root on the control host."""
        return self.control.ovnhook("--socket", str(self.path), *arguments)

    def enrol(self, token: tokens.Token) -> Files:
        """Join with a token; what the host has then."""
        made = keyfiles.node(self.folder / f"{token.name}-{token.digest[:6]}")
        keyfiles.write(made.key, x509.new_key(), keyfiles.SECRET)
        ca = self.files.own.certificate.read_bytes()
        answer = Client(None).enrol(token, ca, x509.request(made.key.read_bytes()), "192.0.2.9")
        keyfiles.write(made.ca, ca, keyfiles.PUBLIC)
        keyfiles.write(made.certificate, answer["certificate"].encode(), keyfiles.PUBLIC)
        assert answer["authority_key"] == ""
        return made

    def let_in(self, shown: Files) -> bool:
        """Whether the service lets in who shows this."""
        return Client(None).is_trusted([self.api], shown)

    def database(self, shown: Files) -> Database:
        """The database, for who shows this."""
        tls.configure(
            Config(
                database_certificate=str(shown.certificate),
                database_private_key=str(shown.key),
                database_ca=str(shown.ca),
            )
        )
        return Database(self.northbound, "OVN_Northbound")

    def served(self, shown: Files) -> bool:
        """Whether the database serves who shows this."""
        database = self.database(shown)
        try:
            return database.transact([select("Logical_Switch")], Deadline.after(HANG)) == [[]]
        except Unavailable:
            return False
        finally:
            database.close()


@pytest.fixture
def cloud(
    control: Control, directory: Path, make_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ControlHost]:
    """One, set up as "ovnhook node init --control" does it."""
    sockets = [f"{one.directory}/c" for one in (control.northbound, control.southbound)]
    monkeypatch.setattr(trust, "_DATABASES", sockets)
    files = AuthorityFiles(directory / "ca")
    config = with_authority(files, control.config, make_port)
    shown, database = files.databases, make_port()
    path = directory / "run" / "own.sock"
    service = ControlServer(path, config)
    service.start()
    nbctl = ("ovn-nbctl", f"--db={control.northbound.remote}")
    run(*nbctl, "set-ssl", str(shown.key), str(shown.certificate), str(shown.ca))
    run(*nbctl, "set-connection", f"pssl:{database}:127.0.0.1")
    places = (config.listen, f"ssl:127.0.0.1:{database}", directory / "others")
    made = ControlHost(path, Client(path), files, *places, control, service, config)
    yield made
    made.service.stop()
    tls.configure(Config())


def with_authority(files: AuthorityFiles, config: Config, make_port: Callable[[], int]) -> Config:
    """Make an authority as "ovnhook node init --control" does, and the configuration that serves with it over TCP."""
    carry_out(setup.steps(files, "c1", "127.0.0.1"), print)
    return replace(
        config,
        authority=str(files.folder),
        listen=f"127.0.0.1:{make_port()}",
        enrolment=f"127.0.0.1:{make_port()}",
        certificate=str(files.api.certificate),
        private_key=str(files.api.key),
        ca=str(files.api.ca),
    )
