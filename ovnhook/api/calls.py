"""Calls of control services, on this host or on any of several: a limit of concurrent calls, failover, retries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, Self

from ovnhook.api.channels import Channels, Credentials, Method, NotSent, Unanswered, UnknownMethod, is_socket
from ovnhook.base.config import CONTROL_SOCKET, Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidConfig, OvnhookError, QuotaExceeded, Unavailable

HINT = "on a control host: systemctl status ovnhook-control"

_UPGRADE = "upgrade the control hosts first"
_STEP = "the control service"  # in messages about deadlines
_CONNECT = 2.0  # seconds to connect to one of several hosts before the next one is asked
_PAUSES = (0.05, 0.25)  # seconds, mean pause before the hosts are asked again: the first time, and at most
_FIRST_RESPONSE = 5.0  # seconds until the first response of a stream
_MOST_CALLS = 12  # the control service processes 4 of one client at a time, and queues 64: most are left to hooks
_MOST_WAITING = 6  # of these calls, those that wait for another host, which may wait for a call of this one


class ApiCalls(Protocol):
    """Calls methods of the API."""

    def call(self, method: Method, request: Any, deadline: Deadline) -> Any:
        """Call a method; return its response, or raise the service's error."""


class Calls:
    """Calls of the first control host that answers. Thread-safe.

    The host that answered last is asked first. After a call that may have reached a host, others are asked only if the
    method is idempotent. A host whose service itself is `Unavailable`, since its database is away, is not asked again.

    Args:
        servers: each ``HOST:PORT``, or the path of a unix socket.
        credentials: returns the credentials of new connections to ``HOST:PORT``.
        hint: for the error if no host can be reached.
        connect: seconds to connect to the only host, or to each of several if a shorter time was not enough.
        persistent: whether hosts are asked until the deadline, each for half of the time that is left: for short,
            idempotent calls. Otherwise each is asked once, and again if it was slow to connect.
    """

    def __init__(
        self,
        servers: Sequence[str],
        credentials: Callable[[], Credentials],
        hint: str = HINT,
        *,
        connect: float = _CONNECT,
        persistent: bool = False,
    ) -> None:
        self._servers = [server.strip() for server in servers]
        self._credentials = credentials
        self._hint = hint
        self._connect = connect
        self._persistent = persistent
        self._channels = Channels()
        self._slots = threading.BoundedSemaphore(_MOST_CALLS)
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    @classmethod
    def of_host(cls, config: Config) -> Self:
        """Calls of this host's agent and hook: of its own control service first, if it has one."""
        own = [str(CONTROL_SOCKET)] if config.has_own_control else []
        others = config.control.split(",") if config.control else []
        return cls([*own, *others], lambda: credentials_of(config), persistent=True)

    def call(self, method: Method, request: Any, deadline: Deadline) -> Any:
        """Call a method; return its response.

        Raises:
            OvnhookError: the service's error, of the same class.
            Unavailable: no service answered in time.
            UnknownMethod: every service is of another version.
        """
        try:
            with deadline.waiting(_STEP), self._slot(method, deadline):
                return self._call(method, request, deadline)
        except Unanswered as error:
            spent = deadline.time_spent() if self._persistent else ""
            raise Unavailable(f"{error.message}{spent}", error.hint) from error

    @contextmanager
    def stream(self, method: Method, request: Any) -> Iterator[Iterator[Any]]:
        """Open a stream of responses of the first host that answers.

        Raises:
            OvnhookError: as of `call`; also while responses are read.
        """
        failed = []
        for server in self._servers:
            with ExitStack() as stack:
                try:
                    credentials = self._credentials_for(server)
                    opened = self._channels.stream(
                        server, credentials, method, request, connect=_CONNECT, timeout=_FIRST_RESPONSE
                    )
                    responses = stack.enter_context(opened)
                    first = next(responses, None)
                except (Unavailable, UnknownMethod, QuotaExceeded) as error:
                    failed.append(self._failure(method, error))
                    continue
                self._servers = sorted(self._servers, key=lambda one: one != server)
                yield chain([first] if first else [], responses)
                return
        raise self._combined(failed)

    def _call(self, method: Method, request: Any, deadline: Deadline) -> Any:
        left = list(self._servers)
        failed: dict[str, OvnhookError] = {}
        for connect in self._rounds(deadline):
            for number, server in enumerate(tuple(left), 1):
                if failed and not deadline.remaining:
                    break
                # A silent host must leave time for the others.
                timeout = deadline.remaining / (2 if self._persistent and number < len(left) else 1)
                try:
                    credentials = self._credentials_for(server)
                    found = self._channels.call(server, credentials, method, request, connect=connect, timeout=timeout)
                except OvnhookError as error:
                    failed[server] = self._failure(method, error)
                    if not self._may_ask_again(error):
                        left.remove(server)
                else:
                    self._servers = sorted(self._servers, key=lambda one: one != server)
                    return found
            if not left:
                break
        raise self._combined([*failed.values()])

    def _credentials_for(self, server: str) -> Credentials:
        """Credentials for a server; a unix socket needs none.

        Raises:
            OvnhookError: they can't be read.
        """
        if is_socket(server):
            return ()
        try:
            return self._credentials()
        except InvalidConfig as error:
            if self._persistent:  # no reason to refuse a start, nor to ask no other server
                raise Unavailable(error.message, error.hint) from error
            raise

    def _rounds(self, deadline: Deadline) -> Iterator[float]:
        """Seconds to connect to each host, for each time that the hosts are asked."""
        if len(self._servers) > 1:
            yield _CONNECT
        yield self._connect
        mean, most = _PAUSES
        while self._persistent:
            pause = random.uniform(0.5, 1.5) * mean
            if deadline.remaining <= 2 * pause:
                break
            time.sleep(pause)
            mean = min(2 * mean, most)
            yield self._connect

    def _failure(self, method: Method, error: OvnhookError) -> OvnhookError:
        """Return the error if other hosts may be asked.

        Raises:
            OvnhookError: they may not.
        """
        if self._persistent and isinstance(error, UnknownMethod):
            return UnknownMethod(error.message, _UPGRADE)
        if isinstance(error, NotSent | UnknownMethod):
            return error
        if self._persistent and isinstance(error, QuotaExceeded):
            return Unavailable(error.message, error.hint)
        if isinstance(error, Unavailable) and method.is_idempotent:
            return error
        if isinstance(error, Unanswered):
            raise Unavailable(f"{error.message}: it may or may not have been done", error.hint or self._hint) from error
        raise error

    def _may_ask_again(self, error: OvnhookError) -> bool:
        """Return whether the same host may be asked again."""
        return isinstance(error, NotSent) or (self._persistent and isinstance(error, Unanswered | QuotaExceeded))

    def _combined(self, failed: Sequence[OvnhookError]) -> OvnhookError:
        """The errors of all hosts as one."""
        message = "; ".join(error.message for error in failed)
        hint = next((error.hint for error in failed if error.hint), self._hint)
        kinds = {type(error) for error in failed}
        kind = kinds.pop() if len(kinds) == 1 else Unavailable
        return kind(message, hint)

    @contextmanager
    def _slot(self, method: Method, deadline: Deadline) -> Iterator[None]:
        """Limit the number of concurrent calls."""
        with ExitStack() as held:
            for slots in (self._waiting, self._slots) if method.waits else (self._slots,):
                if not slots.acquire(timeout=deadline.remaining):
                    raise Unanswered("too many calls of the control service are in progress")
                held.callback(slots.release)
            yield


def credentials_of(config: Config) -> Credentials:
    """Credentials of this host, as they are now: they are renewed without a restart.

    Raises:
        InvalidConfig: a file is unreadable.
    """
    return read_credentials(config.database_ca, config.database_private_key, config.database_certificate)


def read_credentials(*files: str | Path) -> Credentials:
    """Read CA certificate, key and certificate.

    Raises:
        InvalidConfig: a file is unreadable.
    """
    try:
        return tuple(Path(file).read_bytes() for file in files)
    except OSError as error:
        raise InvalidConfig(f"{error.filename}: {error.strerror}", "ovnhook node join") from error
