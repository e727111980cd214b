"""Status of an ovsdb-server as a value. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerStatus:
    """Status of one server of a database, from the table Database of ``_Server`` (ovsdb-server(5)).

    Attributes:
        remote: its remote, as configured.
        error: error of the query, or "".
        model: ``standalone`` or ``clustered``; "" after an error.
        connected: it is in contact with a majority of its cluster; always true if standalone.
        leader: it is the leader of its cluster; always true if standalone.
    """

    remote: str
    error: str = ""
    model: str = ""
    connected: bool = False
    leader: bool = False
