"""Who is let in, as a row of the northbound database: what all control hosts know, and a token that is used once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, NotFound
from ovnhook.databases.operations import exists
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import as_map, as_set, includes, insert, key, map_of, mutate, require, select, set_keys
from ovnhook.resources import tables

_PAUSE = 0.05  # seconds at most, before it is tried again when somebody was faster


class TrustRow:
    """The row's pairs: a text that says who (``node hv1``, ``control c1``, ``token …``), and what is known of it.

    Args:
        database: the northbound one.

    Every method raises Unavailable when no server answers before the deadline.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self, deadline: Deadline) -> str:
        """What is another one when the row is; "" where there is none."""
        where = key(uuids.TRUST)
        (found,) = self._database.transact([select(tables.DNS, where, columns=["_version"])], deadline)
        return found[0]["_version"][1] if found else ""

    def read(self, deadline: Deadline) -> dict[str, str]:
        """All pairs."""
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
        """Set some pairs and take others out, in one transaction.

        Args:
            put: to be there.
            deadline: when to give up.
            drop: not to be there, by what they are of.
            needs: to be there now, or nothing is changed.
            since: all pairs that there were; if there are others now nothing is changed.

        Raises:
            NotFound: one of `needs` is not there.
            Conflict: there are other pairs than `since`.
        """
        gone, needed = list(drop), needs or {}
        while True:
            present = self.read(deadline)
            if since is not None and present != since:
                raise Conflict("the row of the trusted clients was changed meanwhile")
            if not needed.items() <= present.items():
                raise NotFound("what this depends on has changed meanwhile")
            if not (put.items() - present.items() or present.keys() & set(gone)):
                return
            try:
                self._write(present, put, gone, needed, deadline, whole=since is not None)
                return
            except Conflict:
                deadline.check("the row of those who are let in is changed by others all the time")
                time.sleep(random.uniform(0, _PAUSE))

    def _write(
        self,
        present: Mapping[str, str],
        put: Mapping[str, str],
        gone: Iterable[str],
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
            except Conflict:  # it is there, and empty
                pass
        unchanged = [require(tables.DNS, [key(uuids.TRUST)], [{"records": as_map(present)}], ["records"])]
        mutations = [["records", "delete", as_set(gone)], *set_keys("records", put)]
        guards = [includes("records", needed)] if needed else []
        self._database.transact(
            [
                *(unchanged if whole else []),
                exists(tables.DNS, uuids.TRUST, *guards),
                mutate(tables.DNS, key(uuids.TRUST), mutations),
            ],
            deadline,
        )
