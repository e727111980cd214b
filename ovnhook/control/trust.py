"""Keeps the CA files of this control host as the northbound database has it: who is let in, and who no more."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ovnhook import fence, keyfiles, members, pki
from ovnhook.deadline import Deadline
from ovnhook.errors import InvalidConfig, OvnhookError, Unavailable
from ovnhook.members import Members
from ovnhook.ovsdb import server
from ovnhook.ovsdb.trust import Trust as Row

_log = logging.getLogger(__name__)

_PERIOD = 1.0  # seconds between two looks
_PATIENCE = 5.0  # seconds for one look
_DATABASES = ("/run/ovn/ovnnb_db.ctl", "/run/ovn/ovnsb_db.ctl")  # of this host, as Debian has them


class Trust:
    """Writes the files when it is made, and from when it is started until it is stopped.

    Args:
        row: where it is known who is let in.
        folder: the authority's directory.

    Raises:
        InvalidConfig: there is no authority, or this host has no certificate of it.
    """

    def __init__(self, row: Row, folder: Path) -> None:
        self._row = row
        self._files = keyfiles.AuthorityFiles(folder)
        self.authority = self._files.load()
        self._registered = self._own()
        self._version = ""
        self._said = ""
        self._is_cut_due = False
        self._lock = threading.Lock()
        self.members = Members()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trust", daemon=True)
        # A CA file is there from the beginning; while the database is out of reach it stays the one of before.
        for path in (self._files.databases.ca, self._files.api.ca):
            if not path.exists():
                keyfiles.write(path, self.authority.certificate, keyfiles.PUBLIC)
        self._survive()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _PATIENCE)

    def look(self, deadline: Deadline) -> Members:
        """Who is let in now; the files say so afterwards."""
        if not self._lock.acquire(timeout=deadline.remaining):
            raise Unavailable("who is let in is not known: the northbound database does not answer in time")
        try:
            version, own = self._row.version(deadline), self._own()
            if (version, own) != (self._version, self._registered) or not version:
                self._row.change(own, deadline)
                self._registered = own
                self._write(members.of(self._row.read(deadline), self.authority))
                self._version = version
            if self._is_cut_due:  # the databases read the file for new connections, and leave those that are open
                for socket in _DATABASES:
                    server.cut_connections(socket, deadline)
                self._is_cut_due = False
                _log.info("somebody is let in no more: the databases' connections were cut")
            return self.members
        finally:
            self._lock.release()

    def _own(self) -> dict[str, str]:
        """What is to be known of this host: that it is a control host, at the address that its certificate is for."""
        certificate = keyfiles.read(self._files.databases.certificate)
        if not certificate:
            raise InvalidConfig(
                f"authority {self._files.folder}: this host has no certificate of it", "ovnhook node init --control"
            )
        return members.pairs(pki.subject_of(certificate), pki.addresses_of(certificate)[0], certificate)

    def _write(self, found: Members) -> None:
        databases = found.bundle(self.authority.certificate, [pki.NODE])
        clients = found.bundle(self.authority.certificate, pki.ROLES)
        before = pki.split(keyfiles.read(self._files.databases.ca))
        rules = fence.rules(found.servers.values()).encode()
        for path, text in (
            (self._files.databases.ca, databases),
            (self._files.api.ca, clients),
            (self._files.fence, rules),
        ):
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, keyfiles.PUBLIC)
        self._is_cut_due |= bool(set(before) - set(pki.split(databases)))
        self.members = found

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            self._survive()

    def _survive(self) -> None:
        try:
            self.look(Deadline.after(_PATIENCE))
            self._said = ""
        except OvnhookError as error:
            if str(error) != self._said:  # once, not every second of an outage
                _log.log(logging.getLevelName(error.log_level), "who is let in stays as it is: %s", error)
            self._said = str(error)
        except Exception:  # whatever it is, the next look may go well, and nobody else looks
            _log.exception("who is let in stays as it is, for a reason that was not foreseen")
