"""Messages with fields of every type as plain values, and hints in metadata: old and new, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ovnhook.api import hints, messages
from ovnhook.api.v1 import status_pb2
from ovnhook.base.errors import NotFound, OvnhookError, Unrepaired
from ovnhook.resources.reading import BrokenRow

Field = descriptor_pb2.FieldDescriptorProto
TYPES = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in Field.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}
"""Every type of proto3, by the name of the field that has it."""


@pytest.fixture(scope="module")
def every() -> Any:
    """A message with fields of every type: single, optional, repeated and in maps; also of itself."""
    file = descriptor_pb2.FileDescriptorProto(name="every.proto", package="every", syntax="proto3")
    color = file.enum_type.add(name="Color")
    color.value.add(name="RED", number=0)
    color.value.add(name="BLUE", number=1)
    every = file.message_type.add(name="Every")
    numbers = iter(range(1, 1000))
    types: dict[str, dict[str, Any]] = {name: {"type": number} for name, number in TYPES.items()}
    types["color"] = {"type": Field.TYPE_ENUM, "type_name": ".every.Color"}
    types["every"] = {"type": Field.TYPE_MESSAGE, "type_name": ".every.Every"}
    for name, type_ in types.items():
        every.field.add(name=name, number=next(numbers), label=Field.LABEL_OPTIONAL, **type_)
        every.field.add(name=f"{name}_list", number=next(numbers), label=Field.LABEL_REPEATED, **type_)
        entry = every.nested_type.add(name=f"{name.title().replace('_', '')}MapEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
        entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL, **type_)
        kind = {"type": Field.TYPE_MESSAGE, "type_name": f".every.Every.{entry.name}"}
        every.field.add(name=f"{name}_map", number=next(numbers), label=Field.LABEL_REPEATED, **kind)
    every.field.add(
        name="maybe", number=999, label=Field.LABEL_OPTIONAL, type=Field.TYPE_INT32, oneof_index=0, proto3_optional=True
    )
    every.oneof_decl.add(name="_maybe")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName("every.Every")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return vars(message_factory)["MessageFactory"](pool).GetPrototype(found)


def value(name: str) -> Any:
    """A value of a type."""
    return {"string": "Käse", "bytes": b"\xff\x00", "bool": True, "double": 0.5, "float": 0.25}.get(name, 7)


def test_every_type(every: Any) -> None:
    """Numbers are numbers, large ones too, enums names, bytes base64, maps maps; JSON can say all of it."""
    one = every(color=1, color_list=[0, 1, 5], color_map={"a": 1}, every=every(string="in"), every_list=[every()])
    one.every_map["k"].string = "deep"
    for name in TYPES:
        setattr(one, name, value(name))
        getattr(one, f"{name}_list").extend([value(name)] * 2)
        getattr(one, f"{name}_map")["a"] = value(name)
    one.uint64 = 2**64 - 1
    found = messages.plain(one)
    json.dumps(found)
    for name in TYPES:
        plain = "/wA=" if name == "bytes" else value(name)
        assert found[name] == (2**64 - 1 if name == "uint64" else plain), name
        assert found[f"{name}_list"] == [plain] * 2, name
        assert found[f"{name}_map"] == {"a": plain}, name
    assert (found["color"], found["color_list"], found["color_map"]) == ("BLUE", ["RED", "BLUE", 5], {"a": "BLUE"})
    assert (found["every"]["string"], found["every"]["every"], len(found["every_list"])) == ("in", None, 1)
    assert found["every_map"]["k"]["string"] == "deep"
    assert found["maybe"] is None
    assert messages.plain(every(maybe=0))["maybe"] == 0
    assert list(found) == [field.name for field in every.DESCRIPTOR.fields]


def test_every_text(every: Any) -> None:
    """In lists, maps, keys of maps and messages; no other type is in the way."""
    one = every(
        string="a", string_list=["b"], string_map={"c": "d"}, every=every(string="e"), every_list=[every(string="f")]
    )
    one.every_map["g"].string = "h"
    for name in TYPES:
        if name != "string":
            setattr(one, name, value(name))
            getattr(one, f"{name}_list").append(value(name))
            getattr(one, f"{name}_map")[name] = value(name)
    found = [text for _, text in messages.texts(one)]
    assert sorted(found) == sorted([*"abcdefgh", *(name for name in TYPES if name != "string")])
    assert ("string_map", "d") in set(messages.texts(one))


def test_messages_of_the_api() -> None:
    """As they were: all fields in the order of the proto, optional ones that are not set as None."""
    use = status_pb2.SubnetUse(subnet="blue", used=3)
    found = messages.plain(status_pb2.GetStatusResponse(ok=True, northd=status_pb2.Northd(active=True), subnets=[use]))
    assert list(found) == [field.name for field in status_pb2.GetStatusResponse.DESCRIPTOR.fields]
    assert (found["ok"], found["northd"]["hosts_ms"], found["problems"]) == (True, None, [])
    assert found["subnets"] == [{"subnet": "blue", "used": 3, "capacity": 0}]


@pytest.mark.parametrize("hint", ["", "ovnhook port list", "virsh destroy Käse", "a\\b 'c' \x1b\n日本", "🦆" * 2000])
def test_a_hint(hint: str) -> None:
    """Arrives as it is, cut where it is too long."""
    sent = hints.metadata(NotFound("none", hint))
    arrived = hints.hint(sent)
    assert arrived == hint or (arrived.endswith("...") and hint.startswith(arrived[:-3]) and len(arrived) > 200)
    assert all(isinstance(value, bytes) == key.endswith("-bin") for key, value in sent)
    assert all(value.isascii() and value.isprintable() for _, value in sent if isinstance(value, str))
    assert sum(len(value) for _, value in sent) < 2100


def test_hints_of_another_version() -> None:
    """An earlier service sends what was escaped; an earlier client reads what is in ASCII."""
    assert hints.hint([("ovnhook-hint", "virsh destroy K\\xe4se")]) == "virsh destroy Käse"
    assert hints.hint([("ovnhook-hint", "a\\\\b")]) == "a\\b"
    assert hints.hint([("ovnhook-hint", "broken \\x")]) == "broken \\x"
    assert hints.hint([("other", "x")]) == hints.hint([]) == ""
    assert dict(hints.metadata(NotFound("none", "ovnhook port list")))["ovnhook-hint"] == "ovnhook port list"
    assert dict(hints.metadata(NotFound("none", "Käse")))["ovnhook-hint"] == "K\\xe4se"


@pytest.mark.parametrize(
    ("error", "name"), [(Unrepaired("row"), "Unrepaired"), (BrokenRow("row"), "OvnhookError"), (OvnhookError(""), "")]
)
def test_the_class_of_an_error(error: OvnhookError, name: str) -> None:
    """Is one that clients know; an error that has no such metadata is not the service's."""
    assert hints.error_class(hints.metadata(error)) == (name or "OvnhookError")
    assert hints.error_class([("ovnhook-hint", "x")]) == ""
