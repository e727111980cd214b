"""gRPC interceptor of all RPCs: authorization, admission, deadlines, and errors as gRPC statuses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ovnhook.api import hints, messages
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError, PermissionDenied, Unavailable
from ovnhook.control.admission import SEND_TIMEOUT, Admission, Call, CallKind
from ovnhook.control.roles import NOBODY, Identify, Rule, counted_as
from ovnhook.control.turns import Turns
from ovnhook.pki.x509 import Subject

_log = logging.getLogger(__name__)

_DEFAULT_TIMEOUT = 10.0  # seconds, for a client that sets no deadline
_MAX_TIMEOUT = 30.0  # seconds
_NO_DEADLINE = 1e9  # seconds: gRPC reports more than this if the client has set no deadline
_MAX_DETAILS = 1500  # bytes of an error message
_MARGIN = 0.2  # seconds before the client's deadline at which the service ends, so that its error reaches the client

INTERNAL_ERROR = "internal error: see journalctl -u ovnhook-control"

Answer = Callable[..., Any]
"""Unary method of a service of ovnhook: takes a request and a Deadline, returns a response or raises OvnhookError.

Its third argument is the caller's Subject if its rule has `passes_caller`.
"""

Stream = Callable[..., Iterator[Any]]
"""Streaming method of a service: takes a request and gRPC's context, yields responses or raises OvnhookError.

Its third argument is the caller's Subject if its rule has `passes_caller`.
"""


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Turns an Answer or a Stream into a handler of gRPC: passes the deadline, and maps errors to statuses.

    Methods of standard services (health, reflection) are passed the context instead of a deadline.

    Every method is registered with a stream of requests, which is the same on the wire, so that the caller is known and
    counted before its request has arrived.

    Args:
        rules: access rules by full method name.
        identify: returns the caller of an RPC.
        admission: admission control.
        turns: turns of short RPCs.
    """

    def __init__(self, rules: Mapping[str, Rule], identify: Identify, admission: Admission, turns: Turns) -> None:
        self._rules = rules
        self._identify = identify
        self._admission = admission
        self._turns = turns
        self._streams: dict[int, tuple[grpc.ServicerContext, Rule, str]] = {}

    def end_revoked(self) -> None:
        """End the open streams of clients that may no longer have them."""
        for context, rule, name in self._streams.copy().values():
            try:
                rule.check(self._identify(context), name)
            except PermissionDenied:
                with suppress(ValueError):  # it has ended in the meantime
                    context.cancel()
            except Unavailable:  # nobody is known yet
                continue

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
        with _statuses(name, context), self._admitted(name, rule, context, rule.kind) as (caller, call):
            request = self._next(call, requests)
            if request is None:
                raise InvalidRequest("the request has no message")
            seconds = timeout(context)
            self._admission.proceed(call, seconds + SEND_TIMEOUT)
            if not _is_ours(name):
                return answer(request, context)
            passed, deadline = (caller,) if rule.passes_caller else (), Deadline.after(seconds)
            if rule.kind is not CallKind.SHORT:
                return answer(request, deadline, *passed)
            with self._turns.turn(call.caller, deadline):
                if not context.is_active():
                    raise Unavailable(f"{name}: the client has cancelled it")
                return answer(request, deadline, *passed)

    def _stream(
        self,
        name: str,
        rule: Rule,
        handler: grpc.RpcMethodHandler,
        requests: Iterator[Any],
        context: grpc.ServicerContext,
    ) -> Iterator[Any]:
        stream: Stream = handler.stream_stream or handler.unary_stream
        kind = CallKind.STREAM if rule.kind is CallKind.SHORT else rule.kind
        with _statuses(name, context), self._admitted(name, rule, context, kind) as (caller, call):
            request = self._all(call, requests) if handler.request_streaming else self._next(call, requests)
            if request is None:
                raise InvalidRequest("the request has no message")
            passed = (caller,) if rule.passes_caller else ()
            self._streams[id(call)] = context, rule, name
            try:
                for message in stream(request, context, *passed):
                    rule.check(self._identify(context), name)  # the certificate may have been revoked meanwhile
                    self._admission.proceed(call, SEND_TIMEOUT)
                    yield message
                    self._admission.proceed(call, None)
            finally:
                del self._streams[id(call)]

    @contextmanager
    def _admitted(
        self, name: str, rule: Rule, context: grpc.ServicerContext, kind: CallKind
    ) -> Iterator[tuple[Subject, Call]]:
        """Authorize and admit an RPC for the duration of the block."""
        caller = self._identify(context)
        rule.check(caller, name)
        call = self._admission.admit(counted_as(caller, context), kind, context)
        try:
            yield caller, call
        finally:
            self._admission.leave(call)

    def _next(self, call: Call, requests: Iterator[Any]) -> Any:
        """Next request, or None at the end of the stream."""
        self._admission.wait(call)
        request = next(requests, None)
        self._admission.proceed(call, None)
        return request if request is None else _decoded(request)

    def _all(self, call: Call, requests: Iterator[Any]) -> Iterator[Any]:
        while (request := self._next(call, requests)) is not None:
            yield request


def timeout(context: grpc.ServicerContext) -> float:
    """Timeout of an RPC in seconds: the time until the client's deadline, less a margin to report errors."""
    remaining = context.time_remaining()
    if remaining is None or remaining > _NO_DEADLINE:
        return _DEFAULT_TIMEOUT
    return float(min(remaining - min(_MARGIN, remaining / 4), _MAX_TIMEOUT))


def _is_ours(name: str) -> bool:
    return name.startswith("/ovnhook.")


@contextmanager
def _statuses(name: str, context: grpc.ServicerContext) -> Iterator[None]:
    """End the RPC with the status of the error that is raised."""
    try:
        yield
        return
    except OvnhookError as error:
        if type(error) is OvnhookError:
            _log.error("%s: %s", name, error)
        raised = error
    except grpc.RpcError:
        raise  # cancelled by the client or by admission control
    except Exception:
        _log.exception("%s: internal error", name)
        raised = OvnhookError(INTERNAL_ERROR)
    context.set_trailing_metadata(hints.metadata(raised))
    context.abort(grpc.StatusCode[raised.status], _short(raised.message.encode()))


def _short(text: bytes) -> str:
    """Truncate an error message: clients drop metadata of more than 8 KiB, and other than ASCII takes three bytes."""
    return text.decode() if len(text) <= _MAX_DETAILS else f"{text[:_MAX_DETAILS].decode(errors='ignore')}..."


def _lenient(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Deserializer that returns its error, to be INVALID_ARGUMENT: of one that is raised gRPC makes INTERNAL."""

    def decoded(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            return error

    return decoded


def _decoded(request: Any) -> Any:
    """Check a request: it is a message of its proto, without NUL characters, which the databases do not store."""
    if isinstance(request, DecodeError):
        raise InvalidRequest("the request is not a message of its proto")
    for name, text in messages.texts(request):
        if "\0" in text:
            raise InvalidRequest(f"{name} contains a NUL character")
    return request
