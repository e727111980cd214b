"""Calls of libvirt's qemu hook: read once, carried out, and answered when they can't be.

The agent answers with this, and so does the hook in its own process while the agent is away.
See https://libvirt.org/hooks.html for when libvirt calls which operation.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ovnhook.agent import libvirtfiles
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
"""The part of a call's deadline that the agent has; what is left is for the hook itself, should the agent be silent."""

_CLEAN_UP_SHARE = 0.25  # the part of the time left that is kept for taking back a failed start
_MARGIN = 0.3  # seconds left for the end of the hook's process


@dataclass(frozen=True)
class Answer:
    """What the hook tells libvirt.

    Attributes:
        exit_code: non-zero makes a start fail.
        message: for the hook's stderr and the log, or "".
        unavailable: whether the network of the domain has to be healed later.
    """

    exit_code: int = 0
    message: str = ""
    unavailable: bool = False

    def __post_init__(self) -> None:
        """Keep the message on one line, whatever names are in it."""
        object.__setattr__(self, "message", visible(self.message))


@dataclass(frozen=True)
class HookRequest:
    """A call of the hook, as it was read.

    Attributes:
        operation: ``migrate``, ``prepare``, ``start`` or ``release``; the other ones need nothing.
        domain: as far as the operation depends on it.
        deadline: when the answer has to be there.
        failure: why the interfaces that are ours are not in it, for an operation that depends on them.
    """

    operation: str
    domain: Domain
    deadline: Deadline
    failure: Exception | None = None


def read(operation: str, xml: bytes, bridge: str, deadline: Deadline) -> HookRequest:
    """Read a call of the hook.

    Args:
        operation: which one.
        xml: the domain, as libvirt writes it to the hook.
        bridge: name of the integration bridge.
        deadline: when the answer has to be there.

    Raises:
        InvalidRequest: it is no domain's XML at all.
    """
    document = DomainXML(xml)
    domain = document.identify()
    if operation not in ("prepare", "start"):
        return HookRequest(operation, domain, deadline)
    try:
        return HookRequest(operation, document.domain(bridge, libvirtfiles.network), deadline)
    except Exception as error:  # whatever it is: it is answered as what goes wrong later
        return HookRequest(operation, domain, deadline, error)


def answer(
    request: HookRequest,
    host: Host,
    config: Config,
    alone: AbstractContextManager[object] = nullcontext(),  # noqa: B008  (it has no state)
) -> Answer:
    """Do what a call of the hook asks for. Never raises, and always ends by its deadline.

    Args:
        request: the call.
        host: does the work.
        config: says what becomes of a start while a database is out of reach.
        alone: keeps others from working on the domain meanwhile; raises Unavailable where it can't.
    """
    operation = request.operation
    try:
        with alone:
            _carry_out(request, host)
    except Unavailable as error:
        said = _named(request.domain, error)
        if operation == "migrate":  # where the domain is it has its network
            return Answer(error.exit_code, f"ovnhook: error: {said}: it stays where it is")
        if operation == "release" or config.on_unavailable == "start":
            return Answer(0, f"ovnhook: warning: {said}: its network is repaired later", unavailable=True)
        return Answer(error.exit_code, f"ovnhook: error: {said}", unavailable=True)
    except OvnhookError as error:
        return refusal(operation, error)
    except Exception as error:
        _log.exception("%s failed for a reason that was not foreseen", operation)
        said = _named(request.domain, error)
        return Answer(int(operation != "release"), f"ovnhook: error: {said}: {type(error).__name__}")
    return Answer()


def refusal(operation: str, error: OvnhookError) -> Answer:
    """The answer to an operation that can't be done; that of ``release`` is no error for libvirt."""
    return Answer(0 if operation == "release" else error.exit_code, f"ovnhook: error: {error}")


def answer_alone(operation: str, xml: bytes, started: float, loading: float) -> Answer:
    """The same without the agent, in the hook's own process.

    Args:
        operation: as above.
        xml: as above.
        started: when the hook began, as ``time.monotonic()`` counts.
        loading: seconds for which this package was loaded; they shorten no wait.
    """
    if logging.lastResort:
        logging.lastResort.setFormatter(logs.OneLine())
    asking = time.monotonic() - started - loading
    try:
        config = load()
        spent = {"ovnhook-agent": asking, "loading ovnhook": loading}
        deadline = Deadline(started + loading + config.call_deadline - _MARGIN, started, spent)
        request = read(operation, xml, config.integration_bridge, deadline)
    except InvalidRequest as error:
        return refusal(operation, error)
    return answer(request, Host(config), config)


def _carry_out(request: HookRequest, host: Host) -> None:
    if request.failure:
        raise request.failure
    if request.operation == "release":
        host.detach(request.domain, request.deadline)
    elif request.operation == "migrate":
        host.announce(request.domain, request.deadline)
    elif request.operation == "prepare":
        host.attach(request.domain, request.deadline)
    else:
        _start(request.domain, host, request.deadline)


def _start(domain: Domain, host: Host, deadline: Deadline) -> None:
    try:
        host.attach(domain, deadline.within(deadline.remaining * (1 - _CLEAN_UP_SHARE)))
    except Unavailable:
        raise
    except OvnhookError:
        # The release that libvirt calls next keeps leases; this start should leave none. Whatever becomes of that, the
        # start is refused.
        try:
            host.roll_back(domain, deadline)
        except OvnhookError as error:
            _log.warning("domain %s: the refused start could not be rolled back: %s", domain.name, error)
        except Exception:
            _log.exception("domain %s: the refused start could not be rolled back: unexpected error", domain.name)
        raise


def _named(domain: Domain, error: Exception) -> str:
    """The error with the domain's name in front, where it does not begin with it."""
    return str(error) if str(error).startswith("domain ") else f"domain {domain.name}: {error}"
