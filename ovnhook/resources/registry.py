"""The row of the registry: what is kept once for a cloud. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook import __version__
from ovnhook.base.errors import NewerFormat
from ovnhook.ovsdb.operation import Row, as_map, map_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.changes import Registry
from ovnhook.resources.reading import number_of, reader

_CLOUD = "cloud"  # the key of the registry's records that the cloud's id is under
_FORMAT = "format"  # likewise that of the rows' format
FORMAT = 1
"""The format of the rows that this version reads and writes: decision 16 says when it is to be counted up."""

_LARGEST_FORMAT = 1_000_000


def registry_ids(registry: Registry) -> dict[str, str]:
    """The external_ids of the DNS row of the registry."""
    return kind("registry", serial=str(registry.serial), default_subnet=registry.default_subnet)


def registry_records(registry: Registry) -> dict[str, str]:
    """The records of the DNS row of the registry."""
    return {_FORMAT: str(FORMAT), **({_CLOUD: str(registry.cloud)} if registry.cloud else {})}


def registry_columns(registry: Registry) -> Row:
    """The DNS row of the registry.

    The cloud's id and the format are not in the external_ids: earlier versions compare and write these as a whole.
    """
    return {"records": as_map(registry_records(registry)), "external_ids": as_map(registry_ids(registry))}


@reader
def read_registry(row: Row) -> Registry:
    """A DNS row as the registry it is.

    Raises:
        NewerFormat: whatever else is in the database is not for this version. Where it is absent the format is 1.
    """
    ids, records = own(row), map_of(row["records"])
    found = number_of(records.get(_FORMAT, "1"), _LARGEST_FORMAT)
    if found > FORMAT:
        raise NewerFormat(
            f"the cloud's rows have format {found}, and ovnhook {__version__} knows formats up to {FORMAT}",
            "upgrade ovnhook where this version runs: it changes nothing there until then",
        )
    cloud = records.get(_CLOUD)
    serial, default = int(ids.get("serial", "0")), ids.get("default-subnet", "")
    return Registry(serial, default, UUID(cloud) if cloud else None)
