"""Backup of a cloud in one file: the northbound database and the certificate authority.

Everything else is derived: northd rebuilds the southbound database, agents reconcile their hosts, and certificates are
issued again.
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
from ovnhook.base.command import run
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.base.retry import repeat
from ovnhook.ovsdb import snapshot, tls
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.ovsdb.snapshot import NORTHBOUND, Rows, Snapshot
from ovnhook.pki import keyfiles, x509
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry
from ovnhook.resources.tables import DNS
from ovnhook.setup.step import Step

_FORMAT = 1
_MANIFEST, _ROWS, _KEY, _CERTIFICATE = "manifest.json", "northbound.ovsdb", "ca/ca.key", "ca/ca.pem"
_TIMEOUT = 30.0  # seconds
_PING_TIMEOUT = 5.0  # seconds
_WHERE = "systemctl status ovn-ovsdb-server-nb"


@dataclass(frozen=True)
class Backup:
    """Content of a backup.

    Attributes:
        taken: time of the backup, as text.
        host: host that it was taken on.
        northbound: snapshot of the northbound database.
        authority: certificate authority, if the host had one.
    """

    taken: str
    host: str
    northbound: Snapshot
    authority: x509.Authority | None


def save(path: Path, config: Config) -> Backup:
    """Write a backup to a new file, atomically and readable by root only.

    Raises:
        AlreadyExists: the file exists.
        NotFound: its directory does not exist.
        Unavailable: the database does not answer.
    """
    if path.exists():
        raise AlreadyExists(f"{path} already exists", "a backup is never overwritten; choose another name")
    if not path.parent.is_dir():
        raise NotFound(f"{path.parent} is not a directory")
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
        NotFound: no such file.
        InvalidRequest: not a backup, a damaged one, or one with an unsupported format.
    """
    try:
        members = _unpacked(path.read_bytes())
        manifest = json.loads(members[_MANIFEST])
        if manifest["format"] != _FORMAT:
            raise InvalidRequest(
                f"unsupported format, written by ovnhook {manifest['ovnhook']}",
                "restore it with that version or a newer one",
            )
        authority = x509.Authority(members[_KEY], members[_CERTIFICATE]) if _KEY in members else None
        return Backup(manifest["taken"], manifest["host"], snapshot.parse(members[_ROWS]), authority)
    except FileNotFoundError as error:
        raise NotFound(f"no such file: {path}") from error
    except OSError as error:  # gzip.BadGzipFile is one
        raise InvalidRequest(f"{path}: {error.strerror or error}") from error
    except InvalidRequest as error:
        raise error.within(str(path)) from error
    except (EOFError, zlib.error, tarfile.TarError, LookupError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{path} is not a backup, or damaged or truncated ({error!r})") from error


def steps(backup: Backup, config: Config) -> Iterator[Step]:
    """Steps of a restore. Preconditions are checked before anything is changed.

    Raises:
        InvalidRequest: the backup does not fit the schema of this database.
        NewerFormat: a newer version wrote the backup, or the database.
        AlreadyExists: this host has another certificate authority.
        Unavailable: the database does not answer.
    """
    if backup.authority:
        _check_authority(backup.authority)
    yield Step("the northbound database answers", lambda: _answers(config), timeout=120, hint=_WHERE)
    now = snapshot.parse(_read(config))
    snapshot.check_fits(backup.northbound, now)
    for rows in (backup.northbound.rows, now.rows):
        _check_format(rows)
    if backup.authority:
        yield _restore_authority(backup.authority)
    yield _restore_database(backup, config)


def _check_authority(wanted: x509.Authority) -> None:
    own = keyfiles.AuthorityFiles(keyfiles.AUTHORITY).own
    if keyfiles.read(own.certificate) not in (b"", wanted.certificate):
        raise AlreadyExists(
            f"this host has a different certificate authority from the backup's, in {own.certificate.parent}",
            f"mv {own.certificate.parent} away, restore, and set this host up again with ovnhook node init",
        )


def _check_format(rows: Rows) -> None:
    registry = rows[DNS].get(str(uuids.REGISTRY))
    if registry:
        with suppress(BrokenRow):  # the restore repairs a damaged one
            read_registry(registry)


def _restore_authority(wanted: x509.Authority) -> Step:
    own = keyfiles.AuthorityFiles(keyfiles.AUTHORITY).own

    def is_done() -> bool:
        return (keyfiles.read(own.key), keyfiles.read(own.certificate)) == (wanted.key, wanted.certificate)

    def apply() -> None:
        own.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyfiles.write(own.key, wanted.key, keyfiles.SECRET)
        keyfiles.write(own.certificate, wanted.certificate, keyfiles.PUBLIC)

    return Step(f"{own.key} is the certificate authority's key from the backup", is_done, apply)


def _restore_database(backup: Backup, config: Config) -> Step:
    """Restore the database once: hosts change it again immediately."""
    written = False

    def apply() -> None:
        nonlocal written
        deadline = Deadline.after(_TIMEOUT)
        database = Database(config.northbound, NORTHBOUND)

        def restore() -> None:
            now = snapshot.parse(_read(config))
            change = snapshot.difference(backup.northbound, now)
            database.transact(snapshot.operations(change, now), deadline)

        try:
            repeat(restore, deadline)  # hosts create and delete ports meanwhile
            written = True
        finally:
            database.close()

    now = snapshot.parse(_read(config))
    change = snapshot.difference(backup.northbound, now)
    goal = f"the northbound database matches the backup of {backup.host}, taken at {backup.taken}"
    return Step(f"{goal}: {change}" if change else goal, lambda: written or not change, apply)


def _answers(config: Config) -> bool:
    try:
        _ping(config)
    except Unavailable:
        return False
    return True


def _ping(config: Config) -> None:
    """Query the database: our error messages are better than those of ovsdb-client."""
    tls.configure(config)
    database = Database(config.northbound, NORTHBOUND)
    try:
        database.transact([select("NB_Global", columns=["_uuid"])], Deadline.after(_PING_TIMEOUT))
    except OvnhookError as error:
        raise type(error)(error.message, _WHERE) from error
    finally:
        database.close()


def _read(config: Config) -> bytes:
    """Read the northbound database in one transaction, in the format of ovsdb-client(1)."""
    _ping(config)
    options = {"private-key": "private_key", "certificate": "certificate", "ca-cert": "ca"}
    files = [
        f"--{option}={path}" for option, name in options.items() if (path := getattr(config, f"database_{name}"))
    ]  # fmt: skip
    # Followers of a cluster have all rows as well.
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
    # Decompressed completely first, which detects a truncated file.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed)), mode="r:") as tar:
        found = {info.name: tar.extractfile(info) for info in tar if info.isfile()}
        return {name: file.read() for name, file in found.items() if file}
