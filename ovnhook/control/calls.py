"""What all calls share: who may make them, how many at a time, how long they may take, what errors become."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ovnhook.api import hints, messages
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError
from ovnhook.control.admission import SEND, Admission, Call, CallKind
from ovnhook.control.roles import NOBODY, Identify, Rule, counted_as
from ovnhook.pki.x509 import Subject

_log = logging.getLogger(__name__)

_USUAL_PATIENCE = 10.0  # seconds, for a client that sets no deadline
_MOST_PATIENCE = 30.0
_FOR_EVER = 1e9  # seconds: what gRPC says remains where the client has set no deadline
_LONGEST = 1500  # bytes of a message
_MARGIN = 0.2  # seconds before the client's deadline that we end, so that it hears from us why

Answer = Callable[..., Any]
"""A method of one of our services: a request and a deadline in, a response out; what goes wrong is raised.

If its rule says so (ovnhook.control.roles) the Subject that calls is the third argument.
"""

Stream = Callable[[Any, grpc.ServicerContext], Iterator[Any]]
"""A method that answers with a stream; what goes wrong is raised."""


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Makes of an Answer or Stream what gRPC calls: it is given the client's deadline, and its errors become statuses.

    The methods of other services (health, reflection) are given the context in place of a deadline.

    gRPC is told that each method takes a stream of requests, which is the same on the wire: so the caller is known, and
    counted, before its message is waited for.

    Args:
        rules: who may call each method, by the name that gRPC calls it.
        identify: says who calls.
        admission: lets calls in.
    """

    def __init__(self, rules: Mapping[str, Rule], identify: Identify, admission: Admission) -> None:
        self._rules = rules
        self._identify = identify
        self._admission = admission

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """See grpc.ServerInterceptor."""
        handler, name = continuation(handler_call_details), handler_call_details.method
        if handler is None:
            return None
        if handler.response_streaming:
            make, serve = grpc.stream_stream_rpc_method_handler, self._stream
        else:
            make, serve = grpc.stream_unary_rpc_method_handler, self._answer
        return make(
            partial(serve, name, self._rules.get(name, NOBODY), handler),
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _answer(
        self,
        name: str,
        rule: Rule,
        handler: grpc.RpcMethodHandler,
        requests: Iterator[Any],
        context: grpc.ServicerContext,
    ) -> Any:
        answer: Answer = handler.unary_unary
        with _statuses(name, context), self._admitted(name, rule, context) as (caller, call):
            request = self._next(call, requests)
            if request is None:
                raise InvalidRequest("the request has no message")
            seconds = patience(context)
            self._admission.proceed(call, seconds + SEND)
            if not _is_ours(name):
                return answer(request, context)
            told = (caller,) if rule.told else ()
            return answer(request, Deadline.after(seconds), *told)

    def _stream(
        self,
        name: str,
        rule: Rule,
        handler: grpc.RpcMethodHandler,
        requests: Iterator[Any],
        context: grpc.ServicerContext,
    ) -> Iterator[Any]:
        stream: Stream = handler.stream_stream or handler.unary_stream
        with _statuses(name, context), self._admitted(name, rule, context, CallKind.STREAM) as (_, call):
            request = self._all(call, requests) if handler.request_streaming else self._next(call, requests)
            if request is None:
                raise InvalidRequest("the request has no message")
            for message in stream(request, context):
                rule.check(self._identify(context), name)  # who listens may be let in no more
                self._admission.proceed(call, SEND)
                yield message
                self._admission.proceed(call, None)

    @contextmanager
    def _admitted(
        self, name: str, rule: Rule, context: grpc.ServicerContext, kind: CallKind | None = None
    ) -> Iterator[tuple[Subject, Call]]:
        """Let a call in, if its caller may make it, for as long as it is answered."""
        caller = self._identify(context)
        rule.check(caller, name)
        kind = kind or (CallKind.LONG if rule.long else CallKind.SHORT)
        call = self._admission.admit(counted_as(caller, context), kind, context)
        try:
            yield caller, call
        finally:
            self._admission.leave(call)

    def _next(self, call: Call, requests: Iterator[Any]) -> Any:
        """The next request, or None if there is none."""
        self._admission.wait(call)
        request = next(requests, None)
        self._admission.proceed(call, None)
        return request if request is None else _decoded(request)

    def _all(self, call: Call, requests: Iterator[Any]) -> Iterator[Any]:
        while (request := self._next(call, requests)) is not None:
            yield request


def patience(context: grpc.ServicerContext) -> float:
    """Seconds that a client lets us work, without those that its hearing of it takes."""
    remaining = context.time_remaining()
    if remaining is None or remaining > _FOR_EVER:
        return _USUAL_PATIENCE
    return float(min(remaining - min(_MARGIN, remaining / 4), _MOST_PATIENCE))


def _is_ours(name: str) -> bool:
    return name.startswith("/ovnhook.")


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
            context.set_trailing_metadata(hints.metadata(error.hint))
        status, words = grpc.StatusCode[error.status], error.message
    except grpc.RpcError:
        raise  # the client has ended the call, or the admission
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
    for name, text in messages.texts(request):
        if "\0" in text:
            raise InvalidRequest(f"{name} has a NUL character in it")
    return request
