"""Removal of foreign remotes: rows by which others would make the database servers listen at other addresses."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from ovnhook.base.deadline import Deadline
from ovnhook.control.loop import Loop
from ovnhook.databases import connections as rows
from ovnhook.diagnosis.cloudstate import Foreign
from ovnhook.ovsdb import appctl
from ovnhook.ovsdb.connection import Database
from ovnhook.pki import keyfiles, remotes, x509

_log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between two scans
_TIMEOUT = 5.0  # seconds for one scan
_RETENTION = 3600.0  # seconds for which the status reports a removed row
_MAX_FOREIGN = 20  # removed rows that are reported
_NORTHBOUND = "/run/ovn/ovnnb_db.ctl"  # control socket of the northbound server, as in Debian
_BY_ROWS = "db:OVN_Northbound,NB_Global,connections"


class RemotesGuard:
    """Restores the remotes of both databases while its loop runs.

    Args:
        northbound: northbound database.
        southbound: southbound database.
        folder: directory of the certificate authority.
        control: control socket of this host's northbound server.
    """

    def __init__(self, northbound: Database, southbound: Database, folder: Path, control: str = _NORTHBOUND) -> None:
        self._databases = (northbound, southbound)
        self._files = keyfiles.AuthorityFiles(folder).databases
        self._control = control
        self.loop = Loop(
            "remotes",
            lambda: self.restore(Deadline.after(_TIMEOUT)),
            _INTERVAL,
            "cannot check the remotes of the databases",
        )
        self.foreign: tuple[Foreign, ...] = ()
        """Foreign rows that were removed recently."""
        self.follows_rows = False
        """True if this host's northbound server listens where rows of its database say."""

    def restore(self, deadline: Deadline) -> None:
        """Delete foreign rows, and create missing ones of ovnhook."""
        listening = appctl.list_remotes(self._control, deadline)
        self.follows_rows = _BY_ROWS in listening
        keys = remotes.Keys(str(self._files.key), str(self._files.certificate), str(self._files.ca))
        for database in self._databases:
            found = rows.read(database, deadline)
            foreign = set(remotes.foreign(database.name, found.values(), keys))
            gone = {uuid: row for uuid, row in found.items() if row in foreign}
            missing = [row for row in self._required(database.name, keys) if row not in found.values()]
            if not (gone or missing):
                continue
            self._remember(database.name, foreign)
            rows.change(database, gone, missing, deadline)
            removed = ", ".join(map(str, foreign)) or "none"
            _log.error("%s: its remotes were changed, and are restored; foreign rows: %s", database.name, removed)
        self.foreign = tuple(one for one in self.foreign if one.seen > time.time() - _RETENTION)

    def _required(self, database: str, keys: remotes.Keys) -> Iterable[remotes.Row]:
        """Rows without which nodes could not reach the northbound database."""
        certificate = keyfiles.read(self._files.certificate)
        if database != "OVN_Northbound" or not self.follows_rows or not certificate:
            return ()
        return remotes.served(database, ipv6=":" in x509.addresses_of(certificate)[0]), keys

    def _remember(self, database: str, foreign: Iterable[remotes.Row]) -> None:
        side = {"OVN_Northbound": "northbound", "OVN_Southbound": "southbound"}[database]
        new = [Foreign(side, str(row), time.time()) for row in foreign]
        kept = [
            one for one in self.foreign if (one.database, one.what) not in {(two.database, two.what) for two in new}
        ]
        self.foreign = (*kept, *new)[-_MAX_FOREIGN:]
