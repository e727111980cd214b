"""The protos: numbers of fields are what clients of other versions know, and each service has a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor

from ovnhook.api.protos import PROTOS, message_class
from tests.methods import OWN

FIELDS = Path(__file__).with_name("fields.txt")
FOLDER = Path(__file__).parents[3] / "ovnhook/api/v1"


def numbers(message: Descriptor, name: str) -> Iterator[str]:
    """Every field of a message, and every value of its enums, as a line each."""
    for field in message.fields:
        yield f"{name} {field.number} {field.name}"
    for nested in message.nested_types:
        yield from numbers(nested, f"{name}.{nested.name}")
    for enum in message.enum_types:
        for value in enum.values:
            yield f"{name}.{enum.name} {value.number} {value.name}"


def test_numbers_of_fields_stay() -> None:
    """A new field is a new line of fields.txt; a line that is there keeps its number, and none is used again."""
    found = [
        line
        for proto in PROTOS
        for name, message in proto.DESCRIPTOR.message_types_by_name.items()
        for line in numbers(message, name)
    ]
    frozen = FIELDS.read_text().splitlines()
    assert sorted(found) == sorted(frozen)
    places = [line.rpartition(" ")[0] for line in frozen]
    assert len(places) == len(set(places))


def test_every_file_is_known() -> None:
    """And has one service, whose name is the file's."""
    services = {
        Path(proto.DESCRIPTOR.name).stem: [name.lower() for name in proto.DESCRIPTOR.services_by_name]
        for proto in PROTOS
    }
    assert services.keys() == {path.stem for path in FOLDER.glob("*.proto")}
    assert {proto.DESCRIPTOR.package for proto in PROTOS} == {"ovnhook.v1"}
    assert services == {name: [name.replace("_", "")] for name in services}


def test_names_of_methods() -> None:
    """A method has a name that no other service has, by which the client finds it; a message has a class."""
    assert len(OWN) == len({method.name for method in OWN.values()})
    for method in OWN.values():
        for kind in (method.input_type, method.output_type):
            assert message_class(kind).DESCRIPTOR is kind
