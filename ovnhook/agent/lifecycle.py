"""What a call of libvirt's qemu hook means, and what is answered when it can't be done.

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
from ovnhook.base.errors import InvalidConfig, OvnhookError, Unavailable
from ovnhook.base.text import visible
from ovnhook.domains import domainxml

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


def answer(
    operation: str,
    xml: bytes,
    host: Host,
    config: Config,
    deadline: Deadline,
    alone: AbstractContextManager[object] = nullcontext(),  # noqa: B008  (it has no state)
) -> Answer:
    """Do what an operation of the hook asks for. Never raises, and always ends by the deadline.

    Args:
        operation: ``migrate``, ``prepare``, ``start`` or ``release``; the other ones need nothing.
        xml: the domain, as libvirt writes it to the hook.
        host: does the work.
        config: says what becomes of a start while a database is out of reach.
        deadline: when the answer has to be there.
        alone: keeps others from working on the domain meanwhile; raises Unavailable where it can't.
    """
    try:
        with alone:
            _carry_out(operation, xml, host, config, deadline)
    except Unavailable as error:
        if operation == "migrate":  # where the domain is it has its network
            return Answer(error.exit_code, f"ovnhook: error: {_named(xml, error)}: it stays where it is")
        if operation == "release" or config.on_unavailable == "start":
            return Answer(0, f"ovnhook: warning: {_named(xml, error)}: its network is mended later", unavailable=True)
        return Answer(error.exit_code, f"ovnhook: error: {_named(xml, error)}", unavailable=True)
    except OvnhookError as error:
        return Answer(0 if operation == "release" else error.exit_code, f"ovnhook: error: {error}")
    except Exception as error:
        _log.exception("%s failed for a reason that was not foreseen", operation)
        return Answer(int(operation != "release"), f"ovnhook: error: {_named(xml, error)}: {type(error).__name__}")
    return Answer()


def _carry_out(operation: str, xml: bytes, host: Host, config: Config, deadline: Deadline) -> None:
    if operation == "release":
        host.detach(domainxml.identify(xml), deadline)
    elif operation == "migrate":
        host.announce(domainxml.identify(xml), deadline)
    elif operation == "prepare":
        host.attach(domainxml.parse(xml, config.integration_bridge, libvirtfiles.network), deadline)
    else:
        _start(xml, host, config, deadline)


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
    except InvalidConfig as error:
        return Answer(0 if operation == "release" else error.exit_code, f"ovnhook: error: {error}")
    spent = {"ovnhook-agent": asking, "loading ovnhook": loading}
    deadline = Deadline(started + loading + config.call_deadline - _MARGIN, started, spent)
    return answer(operation, xml, Host(config), config, deadline)


def _start(xml: bytes, host: Host, config: Config, deadline: Deadline) -> None:
    domain = domainxml.parse(xml, config.integration_bridge, libvirtfiles.network)
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


def _named(xml: bytes, error: Exception) -> str:
    """The error with the domain's name in front, where it does not begin with it."""
    try:
        name = domainxml.identify(xml).name
    except OvnhookError:
        return str(error)
    return str(error) if str(error).startswith("domain ") else f"domain {name}: {error}"
