"""Trust row of the northbound database: trusted clients, control hosts and join tokens, shared by control hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, NotFound
from ovnhook.base.retry import repeat
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import as_map, as_set, includes, insert, key, map_of, mutate, require, select, set_keys
from ovnhook.resources import tables
from ovnhook.resources.operations import exists


class TrustRow:
    """Entries of the row (ovnhook.pki.members).

    Every method raises Unavailable when no server answers before the deadline.

    Args:
        database: the northbound database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self, deadline: Deadline) -> str:
        """Version of the row, which changes with its content; "" if there is no row."""
        where = key(uuids.TRUST)
        (found,) = self._database.transact([select(tables.DNS, where, columns=["_version"])], deadline)
        return found[0]["_version"][1] if found else ""

    def read(self, deadline: Deadline) -> dict[str, str]:
        """Read all entries."""
        where = key(uuids.TRUST)
        (found,) = self._database.transact([select(tables.DNS, where, columns=["records"])], deadline)
        return map_of(found[0]["records"]) if found else {}

    def change(
        self,
        put: Mapping[str, str],
        deadline: Deadline,
        drop: Iterable[str] = (),
        needs: Mapping[str, str] | None = None,
        since: Mapping[str, str] | None = None,
    ) -> None:
        """Set and delete entries in one transaction.

        Args:
            put: entries to set.
            deadline: deadline of the transaction.
            drop: keys of entries to delete.
            needs: entries that must exist.
            since: all entries as read before, which must be unchanged.

        Raises:
            NotFound: one of `needs` is missing. Nothing was written.
            Conflict: the entries differ from `since`. Nothing was written.
        """
        dropped, needed = list(drop), needs or {}

        def change() -> None:
            present = self.read(deadline)
            if since is not None and present != since:
                raise Conflict("trusted clients: concurrent change")
            if not needed.items() <= present.items():
                raise NotFound("trusted clients: a required entry was removed meanwhile")
            if not (put.items() - present.items() or present.keys() & set(dropped)):
                return
            self._write(present, put, dropped, needed, deadline, whole=since is not None)

        if since is None:
            repeat(change, deadline)
        else:  # what differs from it now will do so again
            change()

    def _write(
        self,
        present: Mapping[str, str],
        put: Mapping[str, str],
        dropped: Iterable[str],
        needed: Mapping[str, str],
        deadline: Deadline,
        *,
        whole: bool,
    ) -> None:
        if not present:
            ids = as_map(owned.kind("trust"))
            row = {"records": as_map(put), "external_ids": ids}
            try:
                self._database.transact([insert(tables.DNS, uuids.TRUST, row)], deadline)
                return
            except Conflict:  # the row exists and is empty
                pass
        unchanged = [require(tables.DNS, [key(uuids.TRUST)], [{"records": as_map(present)}], ["records"])]
        mutations = [["records", "delete", as_set(dropped)], *set_keys("records", put)]
        guards = [includes("records", needed)] if needed else []
        self._database.transact(
            [
                *(unchanged if whole else []),
                exists(tables.DNS, uuids.TRUST, *guards),
                mutate(tables.DNS, key(uuids.TRUST), mutations),
            ],
            deadline,
        )
