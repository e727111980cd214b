"""Services and messages of the API, from the protos and their comments."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
    ServiceDescriptorProto,
)

from ovnhook.api.protos import PROTOS
from reference.part import table

_ROOT = Path(__file__).parents[1]
_MESSAGE, _SERVICE = 4, 6  # field numbers of FileDescriptorProto, of which paths of comments are made,
_FIELD, _ENUM, _ONEOF = 2, 4, 8  # those of DescriptorProto,
_VALUE, _METHOD = 2, 2  # and those of EnumDescriptorProto and ServiceDescriptorProto
_REPEATS = {
    MethodOptions.NO_SIDE_EFFECTS: "only reads",
    MethodOptions.IDEMPOTENT: "idempotent",
    MethodOptions.IDEMPOTENCY_UNKNOWN: "",
}

_Comments = Mapping[tuple[int, ...], str]


def services() -> str:
    """Each service with its methods, and the messages of its proto."""
    return "\n\n".join(section for file in _files() for section in _file(file))


def _files() -> list[FileDescriptorProto]:
    """The protos with their comments, which the code that is made of them does not have."""
    names = [proto.DESCRIPTOR.name for proto in PROTOS]
    with tempfile.NamedTemporaryFile() as found:
        subprocess.run(
            ["protoc", "-I.", "-Iovnhook/api", "--include_source_info", f"--descriptor_set_out={found.name}", *names],
            cwd=_ROOT,
            check=True,
        )
        files = {file.name: file for file in FileDescriptorSet.FromString(Path(found.name).read_bytes()).file}
    return [files[name] for name in names]


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = {tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location}
    for index, service in enumerate(file.service):
        yield _service(file.name, service, comments, (_SERVICE, index))
    messages = [(message, (_MESSAGE, index)) for index, message in enumerate(file.message_type)]
    yield table(
        ("message", "field", "type", ""),
        (
            (f"`{message.name}`", *row)
            for message, path in messages
            if not _has_section(message.name)
            for row in _fields(message, comments, path)
        ),
    )
    for message, path in messages:
        if _has_section(message.name):
            yield from _message(message, comments, path)
        else:
            yield from _enums(message, comments, path)


def _has_section(name: str) -> bool:
    """Return whether a message is neither the request nor the response of a method."""
    return not name.endswith(("Request", "Response")) or name == "GetStatusResponse"


def _service(name: str, service: ServiceDescriptorProto, comments: _Comments, path: tuple[int, ...]) -> str:
    methods = table(
        ("method", "returns", "", ""),
        (
            (
                f"`{method.name}`",
                "stream of " * method.server_streaming + _type_name(method.output_type),
                _REPEATS[method.options.idempotency_level],
                comments.get((*path, _METHOD, index), ""),
            )
            for index, method in enumerate(service.method)
        ),
    )
    return f"## {service.name}\n\n{comments[path]} Proto: [{Path(name).name}](../../{name}).\n\n{methods}"


def _message(message: DescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {message.name}"
    if comments.get(path):
        yield comments[path]
    yield table(("field", "type", ""), _fields(message, comments, path))
    for index, oneof in enumerate(message.oneof_decl):
        if (*path, _ONEOF, index) in comments:
            yield f"`{oneof.name}`: {comments[*path, _ONEOF, index]}"
    yield from _enums(message, comments, path)


def _fields(message: DescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[tuple[str, str, str]]:
    for index, field in enumerate(message.field):
        yield f"`{field.name}`", _type(field, message), _about(message, field, comments, path, index)


def _enums(message: DescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    for place, enum in enumerate(message.enum_type):
        yield table(
            (f"`{enum.name}` of `{message.name}`", ""),
            (
                (f"`{value.name}`", comments.get((*path, _ENUM, place, _VALUE, index), ""))
                for index, value in enumerate(enum.value)
            ),
        )


def _about(
    message: DescriptorProto, field: FieldDescriptorProto, comments: _Comments, path: tuple[int, ...], index: int
) -> str:
    said = comments.get((*path, _FIELD, index), "")
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{said} One of `{message.oneof_decl[field.oneof_index].name}`.".strip()
    return said


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    for entry in message.nested_type:
        if entry.options.map_entry and field.type_name.endswith(f".{message.name}.{entry.name}"):
            return f"map<{', '.join(_type(one, entry) for one in entry.field)}>"
    if field.type == FieldDescriptorProto.TYPE_ENUM:
        name = f"`{field.type_name.rpartition('.')[2]}`"
    elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
        name = _type_name(field.type_name)
    else:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _type_name(full: str) -> str:
    """A message, linked where it has a section."""
    name = full.rpartition(".")[2]
    return f"[{name}](#{name.lower()})" if full.startswith(".ovnhook.") and _has_section(name) else name
