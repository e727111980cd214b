"""Keeps others from telling the servers of OVN's databases where to listen: what they write is taken out again."""

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

_PERIOD = 1.0  # seconds between two looks
_PATIENCE = 5.0  # seconds for one look
_REMEMBERED = 3600.0  # seconds for which the status tells what was taken out
_MOST = 20  # that are remembered
_NORTHBOUND = "/run/ovn/ovnnb_db.ctl"  # of this host, as Debian has it
_BY_ROWS = "db:OVN_Northbound,NB_Global,connections"


class Remotes:
    """Looks from when its loop is started until that is stopped.

    Args:
        northbound: one of the databases.
        southbound: the other one.
        folder: the authority's directory.
        control: the control socket of this host's northbound server.
    """

    def __init__(self, northbound: Database, southbound: Database, folder: Path, control: str = _NORTHBOUND) -> None:
        self._databases = (northbound, southbound)
        self._files = keyfiles.AuthorityFiles(folder).databases
        self._control = control
        self.loop = Loop(
            "remotes",
            lambda: self.look(Deadline.after(_PATIENCE)),
            _PERIOD,
            "where the databases' servers listen is not known",
        )
        self.foreign: tuple[Foreign, ...] = ()
        """What was taken out not long ago."""
        self.follows_rows = False
        """Whether this host's northbound server does what rows say."""

    def look(self, deadline: Deadline) -> None:
        """Take out what is not ours, and put in again what is."""
        listening = appctl.list_remotes(self._control, deadline)
        self.follows_rows = _BY_ROWS in listening
        shown = remotes.Keys(str(self._files.key), str(self._files.certificate), str(self._files.ca))
        for database in self._databases:
            found = rows.read(database, deadline)
            strange = set(remotes.foreign(database.name, found.values(), shown))
            gone = {uuid: row for uuid, row in found.items() if row in strange}
            missing = [row for row in self._wanted(database.name, shown) if row not in found.values()]
            if not (gone or missing):
                continue
            self._remember(database.name, strange)
            rows.change(database, gone, missing, deadline)
            told = ", ".join(map(str, strange)) or "nothing foreign"
            _log.error("%s: rows where its servers listen were changed: %s; they are as before", database.name, told)
        self.foreign = tuple(one for one in self.foreign if one.seen > time.time() - _REMEMBERED)

    def _wanted(self, database: str, shown: remotes.Keys) -> Iterable[remotes.Row]:
        """The rows without which nodes would not reach a database that they may write such rows to."""
        certificate = keyfiles.read(self._files.certificate)
        if database != "OVN_Northbound" or not self.follows_rows or not certificate:
            return ()
        return remotes.served(database, ipv6=":" in x509.addresses_of(certificate)[0]), shown

    def _remember(self, database: str, strange: Iterable[remotes.Row]) -> None:
        side = {"OVN_Northbound": "northbound", "OVN_Southbound": "southbound"}[database]
        new = [Foreign(side, str(row), time.time()) for row in strange]
        kept = [
            one for one in self.foreign if (one.database, one.what) not in {(two.database, two.what) for two in new}
        ]
        self.foreign = (*kept, *new)[-_MOST:]
