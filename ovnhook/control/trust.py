"""Keeps who is let in, and who no more: what the northbound database and this host know, and the files that say so.

The database is how control hosts tell each other. What one of them has known it does not forget because somebody has
taken it out there, or has brought an old state back.
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

_PERIOD = 1.0  # seconds between two looks
_PROBE = 10.0  # seconds between two attempts to see whether authenticated packets pass
_PATIENCE = 5.0  # seconds for one look
Decide = Callable[[Members], Iterable[str]]
_DATABASES = ("/run/ovn/ovnnb_db.ctl", "/run/ovn/ovnsb_db.ctl")  # of this host, as Debian has them


class Trust:
    """Writes the files when it begins, and while its loop runs.

    Args:
        row: where control hosts tell each other.
        folder: the authority's directory.
        loaded: the directory with what the kernel has of what is written for packets between control hosts.
        answers: whether a control host, the second one, answers what the first one authenticates.

    Raises:
        InvalidConfig: there is no authority, or this host has no certificate of it.
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
            raise InvalidConfig(f"{self._files.ledger}: {error}", "mv it away: the database has it too") from error
        self._ledger = members.verified(self.authority, known)
        self._registered = self._own()
        self._version = ""
        self._cuts = LogOnce(_log, "connections are not cut")
        self._lock = threading.Lock()
        self.members = Members()
        self.loop = Loop("trust", self._step, _PERIOD, "who is let in stays as it is")
        self.prober = Loop("packets", self.probe, _PROBE)

    def begin(self) -> None:
        """Write the files, and look once."""
        self._write()  # while the database is out of reach it stays as it was
        self.loop.take_step()

    def look(self, deadline: Deadline) -> Members:
        """Who is let in now; the files say so afterwards."""
        with self._locked(deadline):
            version, own = self._row.version(deadline), self._own()
            if (version, own) != (self._version, self._registered) or not version:
                self._merge({}, deadline)
                self._registered = own
                self._version = version
            return self.members

    def probe(self) -> None:
        """See whether authenticated packets pass to other control hosts; the files say so afterwards."""
        if self.packets.probe():
            with self._lock:
                self._write()

    def change(
        self,
        entries: Mapping[str, str],
        deadline: Deadline,
        gone: Iterable[str] | Decide = (),
        needs: Mapping[str, str] | None = None,
    ) -> None:
        """Let somebody in, or no more; the files say so afterwards.

        Args:
            entries: to be kept.
            deadline: when to give up.
            gone: marks of those that are nobody's any more; or what decides by those who are let in at the moment of
                the change. What that raises ends the change.
            needs: to be in the database now, or nothing is changed.

        Raises:
            NotFound: one of `needs` is not there.
        """
        with self._locked(deadline):
            repeat(lambda: self._merge(entries, deadline, gone, needs or {}), deadline)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        """Alone: a thread that looks may be waiting for the database."""
        if not self._lock.acquire(timeout=deadline.remaining):
            raise Unavailable("who is let in is not known: the northbound database does not answer in time")
        try:
            yield
        finally:
            self._lock.release()

    def _merge(
        self,
        entries: Mapping[str, str],
        deadline: Deadline,
        gone: Iterable[str] | Decide = (),
        needs: Mapping[str, str] | None = None,
    ) -> None:
        """Bring together what this host, the database and somebody who changes something know."""
        present = self._row.read(deadline)
        told = members.verified(self.authority, present)
        now = time.time()
        # What the database says already keeps its seal: that of an earlier version is good, and the only one that a
        # control host of that version accepts.
        own = {key: value for key, value in self._own().items() if members.text_of(told.get(key, "")) != value}
        known = members.merged(self._ledger, told, members.sealed(self.authority, own), now=now)
        needed = {key: told.get(key, "") for key in needs or {}}
        if needs and needs != {key: members.text_of(value) for key, value in needed.items()}:
            raise NotFound("what this depends on has changed meanwhile")
        decides = callable(gone)
        marks = gone(members.read(known)) if callable(gone) else gone
        new = members.sealed(self.authority, {**entries, **members.revocations(marks)})
        wanted = members.merged(known, new, now=now)
        if not (needs or decides):
            # First here: whoever is gone has no time to bring itself back.
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
        """What is to be known of this host.

        That it is a control host, at the address that its certificate is for, and what it does with packets by now.
        """
        own, certificate = self._this()
        return members.entries_of(own.key, own.address, certificate) | dict.fromkeys(self.packets.said, "-")

    def _this(self) -> tuple[Member, bytes]:
        """This host, and its certificate."""
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
        databases = found.bundle(self.authority.certificate, [x509.NODE])
        before = x509.split(keyfiles.read(self._files.databases.ca))
        if set(before) - set(x509.split(databases)):
            keyfiles.write(self._files.cut, b"", keyfiles.SECRET)  # first: a cut that is due is not forgotten
        own, _ = self._this()
        for path, text in (
            (self._files.databases.ca, databases),
            (self._files.api.ca, found.bundle(self.authority.certificate, x509.ROLES)),
        ):
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, keyfiles.PUBLIC)
        self.packets.write(self.authority, found, own)
        self.members = found
        self._cut()

    def _cut(self) -> None:
        """Cut the databases' connections, if somebody was taken out of their CA file since they were cut last.

        They read the file for new connections, and leave those that are open.
        """
        if not self._files.cut.exists():
            return
        for socket in _DATABASES:
            try:
                appctl.cut_connections(socket, Deadline.after(_PATIENCE / 2))
            except OvnhookError as error:
                if self._cuts.is_new(str(error)):
                    _log.error("somebody is let in no more, and may be connected still: %s", error)
                return
        self._cuts.succeeded()
        self._files.cut.unlink()
        _log.info("somebody is let in no more: the databases' connections were cut")

    def _step(self) -> None:
        try:
            self.look(Deadline.after(_PATIENCE))
            with self._lock:
                self._cut()
        finally:
            self.packets.look(time.monotonic())
