"""The row of the registry: what is kept once for a cloud. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook.ovsdb.operation import Row, as_map, map_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.changes import Registry
from ovnhook.resources.reading import reader

_CLOUD = "cloud"  # the key of the registry's records that the cloud's id is under


def registry_ids(registry: Registry) -> dict[str, str]:
    """The external_ids of the DNS row of the registry."""
    return kind("registry", serial=str(registry.serial), default_subnet=registry.default_subnet)


def registry_records(registry: Registry) -> dict[str, str]:
    """The records of the DNS row of the registry."""
    return {_CLOUD: str(registry.cloud)} if registry.cloud else {}


def registry_columns(registry: Registry) -> Row:
    """The DNS row of the registry.

    The cloud's id is not in the external_ids: earlier versions compare and write these as a whole.
    """
    return {"records": as_map(registry_records(registry)), "external_ids": as_map(registry_ids(registry))}


@reader
def read_registry(row: Row) -> Registry:
    """A DNS row as the registry it is."""
    ids = own(row)
    cloud = map_of(row["records"]).get(_CLOUD)
    serial, default = int(ids.get("serial", "0")), ids.get("default-subnet", "")
    return Registry(serial, default, UUID(cloud) if cloud else None)
