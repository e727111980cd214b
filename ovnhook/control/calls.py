"""What all calls share: who may make them, how long they may take, how many streams there are, what errors become."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from ovnhook.control.roles import NOBODY, RULES, Identify, Rule
from ovnhook.deadline import Deadline
from ovnhook.errors import InvalidRequest, OvnhookError

_log = logging.getLogger(__name__)

HINT = "ovnhook-hint"
"""The trailing metadata that says what to do about an error, in ASCII as all of gRPC's metadata."""

STREAMS = 16
"""How many calls of one streaming method there may be at a time: each has a thread of the server's."""

_USUAL_PATIENCE = 10.0  # seconds, for a client that sets no deadline
_MOST_PATIENCE = 30.0
_FOR_EVER = 1e9  # seconds: what gRPC says remains where the client has set no deadline
_LONGEST = 1500  # bytes of a message, or of a hint
_MARGIN = 0.2  # seconds before the client's deadline that we end, so that it hears from us why

Answer = Callable[..., Any]
"""A method of one of our services: a request and a deadline in, a response out; what goes wrong is raised.

If its rule says so (ovnhook.control.roles) the Subject that calls is the third argument.
"""

Stream = Callable[[Any, grpc.ServicerContext], Iterator[Any]]
"""A method that answers with a stream; of ours, too, what goes wrong is raised."""


class Calls(grpc.ServerInterceptor):  # type: ignore[misc]
    """Makes of an Answer or Stream what gRPC calls: it is given the client's deadline, and its errors become statuses.

    The methods of other services (health, reflection) are left as they are, but for who may call them and the number of
    their streams.

    Args:
        identify: says who calls.
    """

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._streams: dict[str, threading.BoundedSemaphore] = {}

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """See grpc.ServerInterceptor."""
        handler, name = continuation(handler_call_details), handler_call_details.method
        if handler is None:
            return None
        rule = RULES.get(name, NOBODY)
        decode = _lenient(handler.request_deserializer) if _is_ours(name) else handler.request_deserializer
        if not handler.response_streaming:
            answer: Answer = handler.unary_unary
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: _answer(name, self._identify, rule, answer, request, context),
                request_deserializer=decode,
                response_serializer=handler.response_serializer,
            )
        limit = self._streams.setdefault(name, threading.BoundedSemaphore(STREAMS))
        stream: Stream = handler.stream_stream or handler.unary_stream
        make = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.unary_stream_rpc_method_handler
        return make(
            lambda request, context: _stream(name, self._identify, rule, stream, limit, request, context),
            request_deserializer=decode,
            response_serializer=handler.response_serializer,
        )


def patience(context: grpc.ServicerContext) -> float:
    """Seconds that a client lets us work, without those that its hearing of it takes."""
    remaining = context.time_remaining()
    if remaining is None or remaining > _FOR_EVER:
        return _USUAL_PATIENCE
    return float(min(remaining - min(_MARGIN, remaining / 4), _MOST_PATIENCE))


def _is_ours(name: str) -> bool:
    return name.startswith("/ovnhook.")


def _answer(
    name: str, identify: Identify, rule: Rule, answer: Answer, request: Any, context: grpc.ServicerContext
) -> Any:
    with _statuses(name, context):
        caller = identify(context)
        rule.check(caller, name)
        if _is_ours(name):
            told = (caller,) if rule.told else ()
            return answer(_decoded(request), Deadline.after(patience(context)), *told)
    return answer(request, context)


def _stream(
    name: str,
    identify: Identify,
    rule: Rule,
    stream: Stream,
    limit: threading.BoundedSemaphore,
    request: Any,
    context: grpc.ServicerContext,
) -> Iterator[Any]:
    with _statuses(name, context):
        rule.check(identify(context), name)
    if not limit.acquire(blocking=False):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {STREAMS} calls of {name} at a time")
    try:
        if _is_ours(name):
            with _statuses(name, context):
                for message in stream(_decoded(request), context):
                    rule.check(identify(context), name)  # who listens may be let in no more
                    yield message
        else:
            for message in stream(request, context):
                with _statuses(name, context):
                    rule.check(identify(context), name)
                yield message
    finally:
        limit.release()


@contextmanager
def _statuses(name: str, context: grpc.ServicerContext) -> Iterator[None]:
    """End the call with the status of what is raised."""
    try:
        yield
        return
    except OvnhookError as error:
        if type(error) is OvnhookError:
            _log.error("%s: %s", name, error)
        if error.hint:
            # A client never hears of a call that ends with a control character in its metadata.
            context.set_trailing_metadata(((HINT, _short(error.hint.encode("unicode_escape"))),))
        status, words = grpc.StatusCode[error.status], error.message
    except Exception:
        _log.exception("%s failed for a reason that was not foreseen", name)
        status, words = grpc.StatusCode.INTERNAL, "the control service failed for a reason that its log tells"
    context.abort(status, _short(words.encode()))


def _short(text: bytes) -> str:
    """What fits into metadata: of more than 8 KiB the client hears nothing, and what isn't ASCII is sent as three."""
    return text.decode() if len(text) <= _LONGEST else f"{text[:_LONGEST].decode(errors='ignore')}..."


def _lenient(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer whose error is told as any other: gRPC itself makes INTERNAL of it, which would be our fault."""

    def decoded(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            return error

    return decoded


def _decoded(request: Any) -> Any:
    """A request that could be decoded, and whose text can be: the databases know no NUL in a text."""
    if isinstance(request, DecodeError):
        raise InvalidRequest("the request is not what the proto says")
    for name, text in _texts(request):
        if "\0" in text:
            raise InvalidRequest(f"{name} has a NUL character in it")
    return request


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    """Every text in a message, with the name of its field."""
    for field, value in message.ListFields():
        for one in [value] if isinstance(value, str | int | Message) else value:
            if isinstance(one, Message):
                yield from _texts(one)
            elif isinstance(one, str):
                yield field.name, one
