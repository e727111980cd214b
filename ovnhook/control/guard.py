"""Remotes of the database servers: foreign rows are removed, and so is the northbound listener that nobody needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from ovnhook.base.deadline import Deadline
from ovnhook.control.loop import Loop
from ovnhook.control.trust import Trust
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
        trust: trusted clients, among them nodes that need the northbound database.
        folder: directory of the certificate authority.
        control: control socket of this host's northbound server.
        options: file with the options of this host's northbound server.
    """

    def __init__(
        self,
        northbound: Database,
        southbound: Database,
        trust: Trust,
        folder: Path,
        control: str = _NORTHBOUND,
        options: Path = keyfiles.NORTHBOUND_DROP_IN,
    ) -> None:
        self._northbound = northbound
        self._databases = (northbound, southbound)
        self._trust = trust
        files = keyfiles.AuthorityFiles(folder)
        self._files, self._clients = files.databases, files.northbound.ca
        self._control = control
        self._options = options
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
        self.accepts_nodes = False
        """True if this host's northbound server accepts every node's certificate, as earlier versions set it up."""

    def restore(self, deadline: Deadline) -> None:
        """Delete foreign rows, and create missing ones of ovnhook."""
        listening = appctl.list_remotes(self._control, deadline)
        self.follows_rows = _BY_ROWS in listening
        self.accepts_nodes = str(self._clients) not in keyfiles.read(self._options).decode()
        self._close(listening, deadline)
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

    def _close(self, listening: Iterable[str], deadline: Deadline) -> None:
        """Close the northbound listener for nodes, when all nodes use the API; a cluster's is for its members."""
        ours = {remotes.served(self._northbound.name, ipv6=ipv6).target for ipv6 in (False, True)}
        left = ours.intersection(listening) if self._trust.members.is_closed else ()
        if not left:
            return
        server = appctl.server_status(self._northbound.remotes, self._northbound.name, deadline)
        for remote in left if server.model == "standalone" else ():
            appctl.remove_remote(self._control, remote, deadline)
            _log.info("the northbound database does not listen on %s any more: all nodes use the API", remote)

    def _required(self, database: str, keys: remotes.Keys) -> Iterable[remotes.Row]:
        """Rows by which a server that follows rows listens for nodes of an earlier version, or for its cluster."""
        certificate = keyfiles.read(self._files.certificate)
        if database != self._northbound.name or not self.follows_rows or not certificate:
            return ()
        return remotes.served(database, ipv6=":" in x509.addresses_of(certificate)[0]), keys

    def _remember(self, database: str, foreign: Iterable[remotes.Row]) -> None:
        side = {"OVN_Northbound": "northbound", "OVN_Southbound": "southbound"}[database]
        new = [Foreign(side, str(row), time.time()) for row in foreign]
        kept = [
            one for one in self.foreign if (one.database, one.what) not in {(two.database, two.what) for two in new}
        ]
        self.foreign = (*kept, *new)[-_MAX_FOREIGN:]
