"""Random requests to every method: the service answers well, and the database is what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lab.waiting import HANG
from ovnhook.api.protos import message_class
from ovnhook.base.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.resources.router import request as router_request
from ovnhook.resources.subnet.request import SETTINGS
from tests.database.control_service import Control
from tests.database.southbound_rows import add_chassis
from tests.methods import OWN

METHODS = [method for method in OWN.values() if method.containing_service.name != "Enrolment"]  # test_certificates.py
"""Every method of the package: those that are added are in it."""

ROUNDS, REQUESTS = 4, 250
GOOD = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
"""What may be answered while nothing is broken, and nobody else is there."""


ODD = r"""
    " ' } "}] {0} %s%n %00 \ \u0000 $(reboot) `id` ;drop <!-- ../../etc/passwd / - --help None null true 0 -1 1e9 NaN
    * [] ["set",[]] ovnhook:kind router:blue external:gateway subnet:blue isolated- 52:54:00:00:00:01 eyJ9 W10= WzFd
    10.1.0.999 10.1.0 010.1.0.1 10.1.0.1/ 10.1.0.0/33 10.1.0.0/-1 10.1.0.0/٣ 0x0a.1.0.1 167837697 10.0.0.0/0 0.0.0.0
    255.255.255.255 :: ::1 fd00::/64 fe80::1%eth0 ::ffff:10.1.0.1 1::2::3 10.1.0.10- -10.1.0.10 10.1.0.9-10.1.0.1
    10.1.0.1-10.1.0.2-10.1.0.3 00000000-0000-0000-0000-000000000000 שלום ﷺ
""".split()  # noqa: SIM905
BROKEN = ["\0", "blue\0", "\n", "a\nb", "\x1b[31m", " ", "\u202eeulb", "\ufeff", "\uffff"]
LONG = ["x" * 100_000, "é" * 100_000, "\U0001f98a" * 100_000, "10.1.0.0/" + "9" * 100_000, "a b" * 30_000]
HOSTILE = st.one_of(st.text(max_size=20), st.sampled_from(ODD), st.sampled_from(LONG + BROKEN))

NAMES = ["blue", "green", "red", "gateway", "lab", "web1", "web2", ""]
LIKELY: dict[str, list[Any]] = {
    "name": NAMES,
    "subnet": NAMES,
    "router": ["gateway", "lab", ""],
    "dns_domain": ["lab.example", ""],
    "domain": ["web1", "web2", "lab.example", "", "", "b0b760f6-c243-4921-961b-fb38061dec03"],
    "target": ["web1", "web2"],
    "host": ["hv1", "hv1", ""],
    "uuid": ["b0b760f6-c243-4921-961b-fb38061dec03", "7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2"],
    "mac": ["", "52:54:00:aa:bb:01", "52:54:00:aa:bb:02"],
    "macs": ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"],
    "type": ["bridge", "network"],
    "addresses": ["10.1.0.30", "10.1.0.31", "fd00:1::30"],
    "hostname": ["", "web1", "box"],
    "allowed_addresses": ["10.9.0.0/24", "52:54:00:aa:bb:09"],
    "virtual_addresses": ["10.1.0.100", "fd00:1::100"],
    "id": ["", "", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"],
    "cidr6": ["", "", "fd00:1::/64", "fd00:2::/64"],
    "address6": ["", "", "2001:db8::10/64"],
    "next_hop6": ["", "", "2001:db8::1"],
    "cidr": ["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/30", "10.2.0.0/16", "192.168.0.0/28"],
    "gateway": ["", "", "10.1.0.1", "10.2.0.254"],
    "ranges": ["10.1.0.10-10.1.0.20", "10.2.0.100-10.2.0.110"],
    "dns": ["10.1.0.53", "192.0.2.53"],
    "address": ["203.0.113.10/24", "203.0.113.11/24", "203.0.113.20", "203.0.113.21", "10.1.0.12", "10.1.0.11"],
    "next_hop": ["203.0.113.254"],
    "physical_network": ["external", ""],
    "vlan": [0, 0, 42],
    "mtu": [0, 0, 1400],
    "page_size": [0, 1, 1000],
    "page_token": ["", "WyJibHVlIl0="],
    "paths": [*SETTINGS, *router_request.SETTINGS],
}
"""What goes through, by the name of the field."""

INTEGERS = st.one_of(
    st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 4095, 9000, 65536]), st.integers(-(2**31), 2**31 - 1)
)


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field is a list; what says so has another name in each version of protobuf."""
    return isinstance(field.default_value, list)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def values(field: Any, *, tame: bool) -> st.SearchStrategy[Any]:
    """Values of a field: likely ones, and if it isn't tame any that can be written."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return messages(field.message_type, tame=tame)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = st.sampled_from([value.number for value in field.enum_type.values])
        return known if tame else st.one_of(known, INTEGERS)
    is_number = field.cpp_type in (1, 2, 3, 4)
    named = [one for one in LIKELY.get(field.name, ()) if isinstance(one, int) == is_number]
    likely = named or [0 if is_number else ""]
    wild = INTEGERS if is_number else HOSTILE
    return st.sampled_from(likely) if tame else st.one_of(st.sampled_from(likely), wild)


def messages(kind: Any, *, tame: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Messages as the arguments that make them, of some of the fields."""
    fields = {}
    for field in kind.fields:
        one = values(field, tame=tame)
        if is_map(field):
            one = st.lists(one, max_size=3).map(
                lambda pairs: {pair.get("key", ""): pair.get("value", "") for pair in pairs}
            )
        elif is_repeated(field):
            many = values(field, tame=True).map(lambda one: [one] * 300)  # many and long at once would be gigabytes
            one = st.lists(one, max_size=3) if tame else st.one_of(st.lists(one, max_size=5), many)
        fields[field.name] = one
    if not tame:
        return st.fixed_dictionaries({}, optional=fields)
    parts = {field.name for field in kind.fields if field.message_type is not None and not is_map(field)}
    needed = {
        name: one
        for name, one in fields.items()
        if name in parts or name in ("name", "cidr", "subnet", "router", "address", "target", "host", "uuid")
    }
    return st.fixed_dictionaries(needed, optional={name: one for name, one in fields.items() if name not in needed})


def encoded(method: MethodDescriptor) -> st.SearchStrategy[bytes]:
    """Requests of a method as they are sent: most of them right, some with what nobody knows, some no messages."""
    make = message_class(method.input_type)

    def tame() -> st.SearchStrategy[bytes]:
        return messages(method.input_type, tame=True).map(lambda fields: make(**fields).SerializeToString())

    wild = messages(method.input_type, tame=False).map(lambda fields: make(**fields).SerializeToString())
    unknown = st.binary(max_size=12).map(lambda data: b"\xfa\x3f" + bytes([len(data)]) + data)  # field 1023, of bytes
    return st.one_of(
        tame(),
        tame(),
        tame(),
        wild,
        wild,
        st.tuples(tame(), unknown).map(b"".join),
        st.tuples(tame(), st.binary(max_size=20)).map(b"".join),
        wild.map(lambda data: data[: len(data) // 2]),
        st.binary(max_size=200),
    )


class WatchedService:
    """A service with a database, of which every row is looked at after every request."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.answers: Counter[Any] = Counter()
        self.faults: list[str] = []
        self._database = Database(control.northbound.remote, "OVN_Northbound")
        self._channel = control.channel()

    def rows(self) -> list[Any]:
        """Every row of every table, with its version."""
        return self._database.transact(
            [select(table) for table in self.control.northbound.tables], Deadline.after(HANG)
        )

    def send(self, method: MethodDescriptor, request: bytes) -> None:
        """Send a request, and note what is wrong with the answer."""
        before = self.rows()
        status, words = self.call(method, request)
        self.answers[status] += 1
        self.answers[method.name, status] += 1
        if status not in GOOD:
            self.faults.append(f"{method.name} {request[:200]!r}: {status}: {words}")
        elif status != "OK" and self.rows() != before:
            self.faults.append(f"{method.name} {request[:200]!r}: {status}, and rows are others")

    def call(self, method: MethodDescriptor, request: bytes) -> tuple[str, str]:
        """Send a request: the status and the words; of a stream, those of its beginning."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        decode = message_class(method.output_type).FromString
        try:
            if method.server_streaming:
                stream = self._channel.unary_stream(path, response_deserializer=decode)(request, timeout=HANG)
                next(stream)
                stream.cancel()
            else:
                self._channel.unary_unary(path, response_deserializer=decode)(request, timeout=HANG)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""

    def close(self) -> None:
        """End."""
        self._channel.close()
        self._database.close()


@pytest.fixture
def world(control: Control) -> Iterator[WatchedService]:
    """One with a bit of everything in it."""
    control.done("router", "set", "gateway", "--physical-network", "external", "--address", "203.0.113.10/24",
                 "--next-hop", "203.0.113.254")  # fmt: skip
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    add_chassis(control.southbound, "hv1", options="")
    control.attach("web1", "blue", "10.1.0.11", "52:54:00:00:00:01")
    control.stop(control.attach("web2", "blue", "10.1.0.12", "52:54:00:00:00:02"))
    made = WatchedService(control)
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")  # protobuf's own, of what it passes over
@pytest.mark.parametrize("number", range(ROUNDS))
def test_whatever_is_sent(world: WatchedService, number: int) -> None:
    """No request is too much for the service, a refused one changes nothing, and all can be taken away in the end."""

    @seed(number)
    @settings(max_examples=REQUESTS, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(METHODS).flatmap(lambda method: st.tuples(st.just(method), encoded(method))))
    def send(request: tuple[MethodDescriptor, bytes]) -> None:
        world.send(*request)

    send()
    assert world.faults == []
    assert world.answers["OK"] > REQUESTS / 10
    world.control.clear()


def places(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Each text field of a message."""
    for field in kind.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from places(field.message_type, (*path, field.name))
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield (*path, field.name)


def put(message: Any, path: tuple[str, ...], text: str) -> None:
    """Put a text into a field of a message."""
    name, *rest = path
    field, there = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if is_map(field):
        there.clear()
        there[text if rest == ["key"] else LIKELY["mac"][1]] = text if rest == ["value"] else ""
    elif rest:
        put(there[0] if is_repeated(field) else there, tuple(rest), text)
    elif is_repeated(field):
        there[:] = [text]
    else:
        setattr(message, name, text)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_each_text(world: WatchedService, method: MethodDescriptor) -> None:
    """In a request that is likely but for it."""
    make = message_class(method.input_type)
    for path in places(method.input_type):
        for text in (*LONG, *BROKEN):
            request = make()
            likely(request)
            if "update_mask" in request.DESCRIPTOR.fields_by_name and path[0] != "update_mask":
                request.update_mask.paths[:] = [path[-1]]
            put(request, path, text)
            world.send(method, request.SerializeToString())
    assert world.faults == []
    assert world.answers["OK"] < sum(world.answers.values()) / 2 or not world.answers


@pytest.mark.parametrize("request_", [b"\x0f", b"\x0a\x05a", b"\xff" * 20])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_no_message(world: WatchedService, method: MethodDescriptor, request_: bytes) -> None:
    """Is told as such, and no failure of the service."""
    status, words = world.call(method, request_)
    assert (status, words) == ("INVALID_ARGUMENT", "the request is not a message of its proto")


def likely(message: Any) -> None:
    """Fill a request with what goes through."""
    for field in message.DESCRIPTOR.fields:
        if is_map(field):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            likely(inner.add() if is_repeated(field) else inner)
        elif not is_repeated(field) and field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, LIKELY.get(field.name, [""])[0])
