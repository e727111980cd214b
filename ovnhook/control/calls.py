"""What all calls of ovnhook's own services share: how long they may take, and what becomes of their errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc

from ovnhook.deadline import Deadline
from ovnhook.errors import OvnhookError

_log = logging.getLogger(__name__)

HINT = "ovnhook-hint"
"""The trailing metadata that says what to do about an error, in ASCII as all of gRPC's metadata."""

_USUAL_PATIENCE = 10.0  # seconds, for a client that sets no deadline
_MOST_PATIENCE = 30.0
_MARGIN = 0.2  # seconds before the client's deadline that we end, so that it hears from us why

Answer = Callable[[Any, Deadline], Any]
"""A method of one of our services: a request and a deadline in, a response out; what goes wrong is raised."""


class Calls(grpc.ServerInterceptor):  # type: ignore[misc]
    """Makes of an Answer what gRPC calls: it is given the client's deadline, and its errors become statuses.

    The methods of other services (health, reflection) are left as they are.
    """

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """See grpc.ServerInterceptor."""
        handler, name = continuation(handler_call_details), handler_call_details.method
        if handler is None or not name.startswith("/ovnhook."):
            return handler
        answer: Answer = handler.unary_unary
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: _answer(name, answer, request, context),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _answer(name: str, answer: Answer, request: Any, context: grpc.ServicerContext) -> Any:
    remaining = context.time_remaining()
    patience = _USUAL_PATIENCE if remaining is None else min(remaining - _MARGIN, _MOST_PATIENCE)
    try:
        return answer(request, Deadline.after(patience))
    except OvnhookError as error:
        if type(error) is OvnhookError:
            _log.error("%s: %s", name, error)
        if error.hint:
            context.set_trailing_metadata(((HINT, error.hint.encode("ascii", "backslashreplace").decode("ascii")),))
        status, words = grpc.StatusCode[error.status], error.message
    except Exception:
        _log.exception("%s failed for a reason that was not foreseen", name)
        status, words = grpc.StatusCode.INTERNAL, "the control service failed for a reason that its log tells"
    context.abort(status, words)
    return None
