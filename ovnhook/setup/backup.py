"""A cloud as one file: the northbound database, and the key that its certificates are signed with.

The rest follows from these. northd derives the southbound database, hosts' agents mend what has changed since, and
certificates are made anew.
"""

from __future__ import annotations

import datetime
import gzip
import io
import json
import socket
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ovnhook import __version__
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.ovsdb import snapshot, tls
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.ovsdb.snapshot import NORTHBOUND, Rows, Snapshot
from ovnhook.pki import keyfiles, x509
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry
from ovnhook.resources.tables import DNS
from ovnhook.setup.command import run
from ovnhook.setup.step import Step

_FORMAT = 1
_MANIFEST, _ROWS, _KEY, _CERTIFICATE = "manifest.json", "northbound.ovsdb", "ca/ca.key", "ca/ca.pem"
_PATIENCE = 30.0  # seconds
_ANSWER = 5.0  # seconds
_WHERE = "systemctl status ovn-ovsdb-server-nb"


@dataclass(frozen=True)
class Backup:
    """What is in the file.

    Attributes:
        taken: when, in words.
        host: on which host.
        northbound: the database.
        authority: who signs the cloud's certificates, if the host had that.
    """

    taken: str
    host: str
    northbound: Snapshot
    authority: x509.Authority | None


def save(path: Path, config: Config) -> Backup:
    """Write what the cloud is now to a new file, which root alone may read; all of it is there, or no file.

    Raises:
        AlreadyExists: there is such a file.
        NotFound: there is no directory for it.
        Unavailable: the database does not answer.
    """
    if path.exists():
        raise AlreadyExists(f"{path} is there already", "a backup is never written over; choose another name")
    if not path.parent.is_dir():
        raise NotFound(f"{path.parent} is no directory")
    rows = _read(config)
    files = keyfiles.AuthorityFiles(keyfiles.AUTHORITY)
    authority = files.load() if files.own.key.exists() else None
    taken, host = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), socket.gethostname()
    manifest = {"format": _FORMAT, "ovnhook": __version__, "taken": taken, "host": host}
    members = {_MANIFEST: json.dumps(manifest, indent=2).encode() + b"\n", _ROWS: rows}
    if authority:
        members |= {_KEY: authority.key, _CERTIFICATE: authority.certificate}
    keyfiles.write(path, _packed(members), keyfiles.SECRET)
    return Backup(taken, host, snapshot.parse(rows), authority)


def load(path: Path) -> Backup:
    """Read a backup.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it is no backup, not all of it is there, or another version of ovnhook wrote it.
    """
    try:
        members = _unpacked(path.read_bytes())
        manifest = json.loads(members[_MANIFEST])
        if manifest["format"] != _FORMAT:
            raise InvalidRequest(
                f"ovnhook {manifest['ovnhook']} wrote it in a way that this version does not know",
                "restore it with that version or a newer one",
            )
        authority = x509.Authority(members[_KEY], members[_CERTIFICATE]) if _KEY in members else None
        return Backup(manifest["taken"], manifest["host"], snapshot.parse(members[_ROWS]), authority)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:  # gzip.BadGzipFile is one
        raise InvalidRequest(f"{path}: {error.strerror or error}") from error
    except InvalidRequest as error:
        raise error.within(str(path)) from error
    except (EOFError, zlib.error, tarfile.TarError, LookupError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{path} is no backup, or a damaged one, or was cut off ({error!r})") from error


def steps(backup: Backup, config: Config) -> Iterator[Step]:
    """What makes the cloud what it was; whatever is in the way is found before anything is changed.

    Raises:
        InvalidRequest: the database here can't hold what is in the backup.
        NewerFormat: a newer version wrote what is in the backup, or here.
        AlreadyExists: this host has another certificate authority.
        Unavailable: the database does not answer.
    """
    if backup.authority:
        _check_authority(backup.authority)
    yield Step("the northbound database answers", lambda: _answers(config), within=120, hint=_WHERE)
    now = snapshot.parse(_read(config))
    snapshot.check_fits(backup.northbound, now)
    for rows in (backup.northbound.rows, now.rows):
        _check_format(rows)
    if backup.authority:
        yield _signs(backup.authority)
    yield _is_as_it_was(backup, config)


def _check_authority(wanted: x509.Authority) -> None:
    own = keyfiles.AuthorityFiles(keyfiles.AUTHORITY).own
    if keyfiles.read(own.certificate) not in (b"", wanted.certificate):
        raise AlreadyExists(
            f"this host has another certificate authority than the backup, in {own.certificate.parent}",
            f"mv {own.certificate.parent} away, restore, and set this host up again with ovnhook node init",
        )


def _check_format(rows: Rows) -> None:
    registry = rows[DNS].get(str(uuids.REGISTRY))
    if registry:
        with suppress(BrokenRow):  # a damaged one is what a backup is for
            read_registry(registry)


def _signs(wanted: x509.Authority) -> Step:
    own = keyfiles.AuthorityFiles(keyfiles.AUTHORITY).own

    def is_so() -> bool:
        return (keyfiles.read(own.key), keyfiles.read(own.certificate)) == (wanted.key, wanted.certificate)

    def make_so() -> None:
        own.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyfiles.write(own.key, wanted.key, keyfiles.SECRET)
        keyfiles.write(own.certificate, wanted.certificate, keyfiles.PUBLIC)

    return Step(f"certificates are signed with the key in {own.key}", is_so, make_so)


def _is_as_it_was(backup: Backup, config: Config) -> Step:
    """The database is made what it was, once: from then on hosts change it again."""
    written = False

    def make_so() -> None:
        nonlocal written
        deadline = Deadline.after(_PATIENCE)
        database = Database(config.northbound, NORTHBOUND)
        while not written:
            now = snapshot.parse(_read(config))
            change = snapshot.difference(backup.northbound, now)
            try:
                database.transact(snapshot.operations(change, now), deadline)
                written = True
            except Conflict:
                deadline.check("hosts make and remove ports all the time")
            finally:
                database.close()

    now = snapshot.parse(_read(config))
    change = snapshot.difference(backup.northbound, now)
    what = f"the northbound database is as it was on {backup.host} at {backup.taken}"
    return Step(f"{what}: {change}" if change else what, lambda: written or not change, make_so)


def _answers(config: Config) -> bool:
    try:
        _ask(config)
    except Unavailable:
        return False
    return True


def _ask(config: Config) -> None:
    """Find out whether the database answers; what is wrong is said better by this than by the tool."""
    tls.configure(config)
    database = Database(config.northbound, NORTHBOUND)
    try:
        database.transact([select("NB_Global", columns=["_uuid"])], Deadline.after(_ANSWER))
    except OvnhookError as error:
        raise type(error)(error.message, _WHERE) from error
    finally:
        database.close()


def _read(config: Config) -> bytes:
    """The northbound database, as ovsdb-client(1) writes it, read by one transaction."""
    _ask(config)
    shown = {"private-key": "private_key", "certificate": "certificate", "ca-cert": "ca"}
    files = [
        f"--{option}={path}" for option, name in shown.items() if (path := getattr(config, f"database_{name}"))
    ]  # fmt: skip
    # A member of a cluster that does not lead it has every row as well.
    argv = ("--timeout=30", "--no-leader-only", *files, "backup", config.northbound, NORTHBOUND)
    return run("ovsdb-client", *argv, hint=_WHERE).encode()


def _packed(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), keyfiles.SECRET
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _unpacked(packed: bytes) -> dict[str, bytes]:
    # Unpacked as a whole first, which finds out whether it is whole.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed)), mode="r:") as tar:
        found = {info.name: tar.extractfile(info) for info in tar if info.isfile()}
        return {name: file.read() for name, file in found.items() if file}
