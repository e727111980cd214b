"""The registry row of a cloud: default subnet, cloud ID, and the serial number that orders changes. Pure."""

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

_CLOUD = "cloud"  # key of the cloud ID in the registry's records
_FORMAT = "format"  # key of the rows' format there
FORMAT = 2
"""Format of the rows that this version reads and writes. Decision 16 defines when it is incremented.

In format 1 OVN answers the guests' DNS queries, in format 2 resolvers do (decision 19).
"""

_LARGEST_FORMAT = 1_000_000


def registry_ids(registry: Registry) -> dict[str, str]:
    """External_ids of the registry's DNS row."""
    return kind("registry", serial=str(registry.serial), default_subnet=registry.default_subnet)


def registry_records(registry: Registry) -> dict[str, str]:
    """Records of the registry's DNS row."""
    return {_FORMAT: str(registry.format), **({_CLOUD: str(registry.cloud)} if registry.cloud else {})}


def registry_columns(registry: Registry) -> Row:
    """The registry's DNS row.

    The cloud ID and the format are not in the external_ids, which earlier versions compare and write as a whole.
    """
    return {"records": as_map(registry_records(registry)), "external_ids": as_map(registry_ids(registry))}


@reader(DNS)
def read_registry(row: Row) -> Registry:
    """Parse the registry's DNS row.

    Raises:
        NewerFormat: this version does not support the format of the rows. An absent format is 1.
    """
    ids, records = own(row), map_of(row["records"])
    found = number_of(records.get(_FORMAT, "1"), _LARGEST_FORMAT)
    if found > FORMAT:
        raise NewerFormat(
            f"the cloud's rows have format {found}, and ovnhook {__version__} supports formats up to {FORMAT}",
            "upgrade ovnhook on the hosts with this version: they refuse changes until then",
        )
    cloud = records.get(_CLOUD)
    serial, default = int(ids.get("serial", "0")), ids.get("default-subnet", "")
    return Registry(serial, default, UUID(cloud) if cloud else None, found)


def increment_serial(
    cloud: Cloud, default_subnet: str | None = None, new_id: UUID | None = None, new_format: int = 0
) -> Put[Registry]:
    """Increment the serial number, so that of two concurrent changes of shared resources one fails.

    Args:
        cloud: current state, as it was read.
        default_subnet: name of the new default subnet, "" for none; None keeps it.
        new_id: cloud ID for a cloud without one.
        new_format: format of the rows from now on; 0 keeps it. A new cloud has the latest one.
    """
    before = cloud.registry or Registry(format=FORMAT)
    default = before.default_subnet if default_subnet is None else default_subnet
    new = Registry(before.serial + 1, default, before.cloud or new_id, new_format or before.format)
    return Put(REGISTRY, cloud.registry, new)


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
"""The registry: a single row that changes with the shared resources."""
