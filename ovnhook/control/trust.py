"""Trusted clients and hosts: merged from the northbound database and this host's ledger, and written to CA files.

The database replicates them between control hosts. An entry that a control host has in its ledger stays, even if others
delete it in the database, or restore an old state.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidConfig, NotFound, OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.base.retry import repeat
from ovnhook.control import packets
from ovnhook.control.loop import Loop
from ovnhook.databases.trust import TrustRow as Row
from ovnhook.ovsdb import appctl
from ovnhook.pki import keyfiles, members, x509
from ovnhook.pki.members import Member, Members

_log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between two updates
_PROBE_INTERVAL = 10.0  # seconds between two probes of packet authentication
_TIMEOUT = 5.0  # seconds for one update
_DATABASES = ("/run/ovn/ovnnb_db.ctl", "/run/ovn/ovnsb_db.ctl")  # control sockets of the servers, as in Debian

Decide = Callable[[Members], Iterable[str]]
"""Returns the IDs to revoke, from the trusted clients at the moment of the change; may raise OvnhookError."""


class Trust:
    """Keeps the trusted clients and hosts, and their files, up to date while its loop runs. Thread-safe.

    Args:
        row: row of the northbound database with the trusted clients.
        folder: directory of the certificate authority.
        loaded: directory with the firewall rules and IPsec script that the kernel has loaded.
        answers: probes packet authentication from one control host's address to another's.

    Raises:
        InvalidConfig: no certificate authority, or no certificate of it for this host.
    """

    def __init__(
        self,
        row: Row,
        folder: Path,
        loaded: Path = keyfiles.LOADED,
        answers: Callable[[str, str], bool] = packets.answers,
    ) -> None:
        self._row = row
        self._files = keyfiles.AuthorityFiles(folder)
        self.packets = packets.Packets(self._files, loaded, answers)
        self.authority = self._files.load()
        try:
            known = json.loads(keyfiles.read(self._files.ledger) or b"{}")
        except ValueError as error:
            raise InvalidConfig(f"{self._files.ledger}: {error}", "remove it: the database has a copy") from error
        self._ledger = members.verified(self.authority, known)
        self._registered = self._own()
        self._version = ""
        self._cut_errors = LogOnce(_log, "cannot disconnect clients from the databases")
        self._lock = threading.Lock()
        self.members = Members()
        self.loop = Loop("trust", self._step, _INTERVAL, "cannot update the trusted clients")
        self.prober = Loop("packets", self.probe, _PROBE_INTERVAL)

    def begin(self) -> None:
        """Write the files from the ledger, then update them once."""
        self._write()  # first, as the database may be unreachable
        self.loop.take_step()

    def update(self, deadline: Deadline) -> Members:
        """Read the database, write the files if something has changed, and return the trusted clients."""
        with self._locked(deadline):
            version, own = self._row.version(deadline), self._own()
            if (version, own) != (self._version, self._registered) or not version:
                self._merge({}, deadline)
                self._registered = own
                self._version = version
            return self.members

    def probe(self) -> None:
        """Probe packet authentication with other control hosts, and write the files if it works with another one."""
        if self.packets.probe():
            with self._lock:
                self._write()

    def change(
        self,
        entries: Mapping[str, str],
        deadline: Deadline,
        revoked: Iterable[str] | Decide = (),
        needs: Mapping[str, str] | None = None,
    ) -> None:
        """Add and revoke trusted clients, in the database and in the files.

        Args:
            entries: entries to add.
            deadline: when to give up.
            revoked: IDs to revoke, or a function that decides it.
            needs: entries that must be in the database, as condition of the change.

        Raises:
            NotFound: one of `needs` is not in the database.
        """
        with self._locked(deadline):
            repeat(lambda: self._merge(entries, deadline, revoked, needs or {}), deadline)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        """Hold the lock; another thread may have it while it waits for the database."""
        if not self._lock.acquire(timeout=deadline.remaining):
            raise Unavailable("cannot read the trusted clients: the northbound database does not answer in time")
        try:
            yield
        finally:
            self._lock.release()

    def _merge(
        self,
        entries: Mapping[str, str],
        deadline: Deadline,
        revoked: Iterable[str] | Decide = (),
        needs: Mapping[str, str] | None = None,
    ) -> None:
        """Merge the entries of the ledger, the database and a change, and write the result to all of them."""
        present = self._row.read(deadline)
        stored = members.verified(self.authority, present)
        now = time.time()
        # Entries that are in the database keep their seal: that of an earlier version is valid, and the only one that
        # a control host of that version accepts.
        own = {key: value for key, value in self._own().items() if members.text_of(stored.get(key, "")) != value}
        known = members.merged(self._ledger, stored, members.sealed(self.authority, own), now=now)
        needed = {key: stored.get(key, "") for key in needs or {}}
        if needs and needs != {key: members.text_of(value) for key, value in needed.items()}:
            raise NotFound("a required entry was changed at the same time")
        decides = callable(revoked)
        ids = revoked(members.read(known)) if callable(revoked) else revoked
        new = members.sealed(self.authority, {**entries, **members.revocations(ids)})
        wanted = members.merged(known, new, now=now)
        if not (needs or decides):
            # Revoke in the ledger first, so that a revoked client cannot add itself to the database again.
            self._keep(members.merged(self._ledger, {key: new[key] for key in new if key.startswith("gone ")}, now=now))
        put = {key: value for key, value in wanted.items() if present.get(key) != value}
        drop = present.keys() - wanted.keys()
        self._row.change(put, deadline, drop, needed, since=present if decides else None)
        self._keep(wanted)

    def _keep(self, ledger: dict[str, str]) -> None:
        if ledger != self._ledger:
            self._ledger = ledger
            keyfiles.write(self._files.ledger, json.dumps(ledger, indent=1).encode(), keyfiles.SECRET)
        self._write()

    def _own(self) -> dict[str, str]:
        """Entries of this host: control host, its address, and its announcements about packet authentication."""
        own, certificate = self._this()
        return members.entries_of(own.key, own.address, certificate) | dict.fromkeys(self.packets.announced, "-")

    def _this(self) -> tuple[Member, bytes]:
        """Return this host and its certificate."""
        certificate = keyfiles.read(self._files.databases.certificate)
        if not certificate:
            raise InvalidConfig(
                f"authority {self._files.folder}: this host has no certificate of it", "ovnhook node init --control"
            )
        subject = x509.subject_of(certificate)
        key = f"{subject} {x509.key_id(certificate)}"
        return Member(key, subject, address=x509.addresses_of(certificate)[0]), certificate

    def _write(self) -> None:
        found = members.read(self._ledger)
        databases = {
            self._files.databases.ca: found.bundle(self.authority.certificate, [x509.NODE]),
            self._files.northbound.ca: found.bundle(self.authority.certificate, found.northbound_roles),
        }
        if any(set(x509.split(keyfiles.read(path))) - set(x509.split(text)) for path, text in databases.items()):
            keyfiles.write(self._files.cut, b"", keyfiles.SECRET)  # first, so that a crash does not skip the disconnect
        own, _ = self._this()
        for path, text in {
            **databases,
            self._files.api.ca: found.bundle(self.authority.certificate, x509.ROLES),
        }.items():
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, keyfiles.PUBLIC)
        self.packets.write(self.authority, found, own)
        self.members = found
        self._disconnect()

    def _disconnect(self) -> None:
        """Close all connections of the databases, if clients were removed from their CA file since the last time.

        The servers read that file for new connections only.
        """
        if not self._files.cut.exists():
            return
        for socket in _DATABASES:
            try:
                appctl.cut_connections(socket, Deadline.after(_TIMEOUT / 2))
            except OvnhookError as error:
                if self._cut_errors.is_new(str(error)):
                    _log.error("clients without access may still be connected to the databases: %s", error)
                return
        self._cut_errors.succeeded()
        self._files.cut.unlink()
        _log.info("certificates were revoked or withdrawn: all connections of the databases were closed")

    def _step(self) -> None:
        try:
            self.update(Deadline.after(_TIMEOUT))
            with self._lock:
                self._disconnect()
        finally:
            self.packets.rewrite_unloaded(time.monotonic())
