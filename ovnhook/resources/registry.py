"""The registry: the row of a cloud that two concurrent changes of its subnets or routers can't both count on. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook import __version__
from ovnhook.base import uuids
from ovnhook.base.errors import NewerFormat
from ovnhook.ovsdb.operation import Operation, Row, as_map, insert, map_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.kind import Kind, Put
from ovnhook.resources.operations import rewrite, unchanged
from ovnhook.resources.reading import number_of, reader
from ovnhook.resources.state import Cloud, Registry
from ovnhook.resources.tables import DNS

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


@reader(DNS)
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


def increment_serial(cloud: Cloud, default_subnet: str | None = None, new_id: UUID | None = None) -> Put[Registry]:
    """Count a change of a cloud's shared resources.

    Args:
        cloud: as it was read.
        default_subnet: names the new default one, "" for none.
        new_id: the cloud's id, for one that has none yet.
    """
    before = cloud.registry or Registry()
    default = before.default_subnet if default_subnet is None else default_subnet
    return Put(REGISTRY, cloud.registry, Registry(before.serial + 1, default, before.cloud or new_id))


def _operations(old: Registry | None, new: Registry | None) -> list[Operation]:
    if new is None:
        raise ValueError("the registry is never deleted")
    if old is None:
        return [insert(DNS, uuids.REGISTRY, registry_columns(new))]
    return [*_unchanged(old), *rewrite(DNS, uuids.REGISTRY, registry_columns(old), registry_columns(new))]


def _unchanged(old: Registry) -> list[Operation]:
    return unchanged(DNS, uuids.REGISTRY, registry_ids(old))


REGISTRY = Kind(
    name="registry",
    type=Registry,
    table=DNS,
    columns=("records", "external_ids"),
    read=read_registry,
    operations=_operations,
    guard=_unchanged,
    shown_in=lambda registry: [("subnet", registry.default_subnet)],
)
"""The registry as a kind: the one value of it is no resource, but changes with them."""
