"""Handling of libvirt's qemu hook calls, including their failures.

Used by the agent, and by the hook's own process while the agent is not available.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import assert_never

from ovnhook.agent import libvirtfiles
from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.host import Host
from ovnhook.base import logs
from ovnhook.base.config import Config, load
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError, Unavailable
from ovnhook.base.text import visible
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import Domain

_log = logging.getLogger(__name__)

AGENT_SHARE = 0.6
"""The agent's share of a call's deadline; the rest is for the hook itself if the agent does not respond."""

_CLEAN_UP_SHARE = 0.25  # share of the remaining time that is reserved for the rollback of a failed start
_MARGIN = 0.3  # seconds for the hook's process to exit


@dataclass(frozen=True)
class Answer:
    """Result of a hook call.

    Attributes:
        exit_code: non-zero fails a start.
        message: for the hook's stderr and the log, or "".
        unavailable: whether the domain's network has to be repaired later.
    """

    exit_code: int = 0
    message: str = ""
    unavailable: bool = False

    def __post_init__(self) -> None:
        """Escape control characters, so that the message is one line."""
        object.__setattr__(self, "message", visible(self.message))


@dataclass(frozen=True)
class HookRequest:
    """A parsed hook call.

    Attributes:
        operation: of the call.
        domain: as far as the operation needs it.
        deadline: for the answer.
        failure: why its interfaces could not be parsed, for an operation that needs them.
    """

    operation: HookOperation
    domain: Domain
    deadline: Deadline
    failure: Exception | None = None


def time_limit(operation: HookOperation, config: Config) -> float:
    """Seconds that one call may take.

    A start has two that may wait, so each has half of the deadline. A migration has one, before anything else happens:
    it waits for the source host, while the guest runs there.
    """
    return config.deadline if operation is HookOperation.MIGRATE else config.call_deadline


def read(operation: HookOperation, xml: bytes, bridge: str, deadline: Deadline) -> HookRequest:
    """Parse a hook call.

    Args:
        operation: of the call.
        xml: the domain's XML, as libvirt passes it to the hook.
        bridge: name of the integration bridge.
        deadline: for the answer.

    Raises:
        InvalidRequest: it is not the XML of a domain.
    """
    document = DomainXML(xml)
    if not operation.starts:
        return HookRequest(operation, document.identity, deadline)
    try:
        return HookRequest(operation, document.domain(bridge, libvirtfiles.network), deadline)
    except Exception as error:  # `answer` handles it like any other failure
        return HookRequest(operation, document.identity, deadline, error)


def answer(
    request: HookRequest,
    host: Host,
    config: Config,
    lock: AbstractContextManager[object] = nullcontext(),  # noqa: B008  (it has no state)
) -> Answer:
    """Handle a hook call. Never raises, and ends by its deadline.

    Args:
        request: the call.
        host: carries out the operation.
        config: `on_unavailable` decides about a start while a database is unreachable.
        lock: on the domain; raises Unavailable if it is not free in time.
    """
    operation = request.operation
    try:
        with lock:
            _perform(request, host)
    except Unavailable as error:
        said = _named(request.domain, error)
        if operation is HookOperation.MIGRATE:  # at the source it has its network
            return Answer(error.exit_code, f"ovnhook: error: {said}: it stays where it is")
        if operation is HookOperation.RELEASE or config.on_unavailable == "start":
            return Answer(0, f"ovnhook: warning: {said}: its network is repaired later", unavailable=True)
        return Answer(error.exit_code, f"ovnhook: error: {said}", unavailable=True)
    except OvnhookError as error:
        return refusal(operation, error)
    except Exception as error:
        _log.exception("%s failed: internal error", operation.value)
        said = _named(request.domain, error)
        return Answer(int(operation is not HookOperation.RELEASE), f"ovnhook: error: {said}: {type(error).__name__}")
    return Answer()


def refusal(operation: HookOperation, error: OvnhookError) -> Answer:
    """The answer to a refused operation. A refused ``release`` is not an error for libvirt."""
    return Answer(0 if operation is HookOperation.RELEASE else error.exit_code, f"ovnhook: error: {error}")


def answer_alone(operation: str, xml: bytes, started: float, loading: float) -> Answer:
    """Handle an operation without the agent, in the hook's own process.

    Args:
        operation: name of the operation.
        xml: as of `read`.
        started: start time of the hook, by ``time.monotonic()``.
        loading: seconds spent on importing this package; they extend the deadline.
    """
    if logging.lastResort:
        logging.lastResort.setFormatter(logs.OneLine())
    asking = time.monotonic() - started - loading
    try:
        config = load()
        spent = {"ovnhook-agent": asking, "loading ovnhook": loading}
        limit = time_limit(HookOperation(operation), config)
        deadline = Deadline(started + loading + limit - _MARGIN, started, spent)
        request = read(HookOperation(operation), xml, config.integration_bridge, deadline)
    except InvalidRequest as error:
        return refusal(HookOperation(operation), error)
    return answer(request, Host(config), config)


def _perform(request: HookRequest, host: Host) -> None:
    if request.failure:
        raise request.failure
    match request.operation:
        case HookOperation.MIGRATE:
            host.announce(request.domain, request.deadline)
        case HookOperation.PREPARE:
            host.attach(request.domain, request.deadline)
        case HookOperation.START:
            _start(request.domain, host, request.deadline)
        case HookOperation.RELEASE:
            host.detach(request.domain, request.deadline)
        case HookOperation.OTHER:
            pass
        case _:
            assert_never(request.operation)


def _start(domain: Domain, host: Host, deadline: Deadline) -> None:
    try:
        host.attach(domain, deadline.within(deadline.remaining * (1 - _CLEAN_UP_SHARE)))
    except Unavailable:
        raise
    except OvnhookError:
        # libvirt calls release next, which keeps leases; a refused start must leave none. It is refused even if the
        # rollback fails.
        try:
            host.roll_back(domain, deadline)
        except OvnhookError as error:
            _log.warning("domain %s: the refused start could not be rolled back: %s", domain.name, error)
        except Exception:
            _log.exception("domain %s: the refused start could not be rolled back: internal error", domain.name)
        raise


def _named(domain: Domain, error: Exception) -> str:
    """The error, prefixed by the domain's name unless it already is."""
    return str(error) if str(error).startswith("domain ") else f"domain {domain.name}: {error}"
