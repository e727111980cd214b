"""Messages of the API as plain values, whatever types their fields have. Pure.

json_format would make texts of large numbers, and its option that shows all fields has another name in each version.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Object = dict[str, Any]


def plain(message: Message) -> Object:
    """A message as a dictionary, all of its fields in the order of the proto.

    Enums are names and bytes are base64, as in the JSON of protobuf; an optional field or a message that is not set is
    None.
    """
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def texts(message: Message) -> Iterator[tuple[str, str]]:
    """Every text in a message, also as a key or a value of a map, with the name of its field."""
    for field, value in message.ListFields():
        yield from _texts(field.name, value)


def _field(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {_key(key): _single(one, of) for key, one in value.items()}
    if not isinstance(value, str | bytes | int | float | Message):
        return [_single(one, field) for one in value]
    if (field.containing_oneof or field.message_type) and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: FieldDescriptor) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if field.enum_type:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value  # of a newer version
    return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Message):
        yield from texts(value)
    elif hasattr(value, "items"):
        for pair in value.items():
            for one in pair:
                yield from _texts(name, one)
    elif not isinstance(value, bytes | int | float):
        for one in value:
            yield from _texts(name, one)
