"""What a server of a database says of itself, as a value. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """One server of a database, as ovsdb-server(7) lets it say of itself (its database ``_Server``).

    Attributes:
        remote: where it was asked, as the configuration names it.
        error: why it did not answer, or "".
        model: ``standalone``, ``clustered`` or, when it did not answer, "".
        connected: whether it is in touch with most of its cluster; one that stands alone always is.
        leader: whether it leads its cluster; one that stands alone always does.
    """

    remote: str
    error: str = ""
    model: str = ""
    connected: bool = False
    leader: bool = False
