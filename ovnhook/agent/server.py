"""Answers the hook on a unix socket, and the command ``ovnhook check``.

What is said there is written down in ``hooks/qemu``. Requests for different domains run side by side, those for one
domain one after the other. The operations ``check`` and ``repair`` are for no domain: no XML follows, and the message
is JSON, a list of objects (`_shown`), or an object with ``message`` and ``hint``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from ovnhook import domainxml
from ovnhook.config import Config
from ovnhook.deadline import Deadline
from ovnhook.differences import Found
from ovnhook.errors import InvalidRequest, OvnhookError
from ovnhook.host import Host
from ovnhook.lifecycle import AGENT_SHARE, Answer, answer

_log = logging.getLogger(__name__)

_CHECKS = ("check", "repair")
_REMEMBERED = 60.0  # seconds; nothing that was seen is acted on for so long
_MARGIN = 0.2  # seconds between the end of our work and the end of what we promised
_MOST_XML = 16 << 20  # bytes
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves the hook until it is shut down.

    Args:
        path: of the socket; one that a dead agent left behind is replaced.
        config: says how long an answer may take.
        host: does the work.
        domains: locks that others who work on a domain take too.
        on_unavailable: called when something was left undone because a database was away.
        check: finds what differs, and mends it if it is called with ``repair=True``.

    Raises:
        OvnhookError: another agent serves there.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        path: Path,
        config: Config,
        host: Host,
        domains: DomainLocks,
        on_unavailable: Callable[[], None],
        check: Callable[..., Sequence[Found]],
    ) -> None:
        self.config = config
        self.host = host
        self.domains = domains
        self.on_unavailable = on_unavailable
        self.check = check
        _take_over(path)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Request)
        finally:
            os.umask(before)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with one connection; the others go on."""
        _log.exception("a request failed")


class DomainLocks:
    """One lock for each domain that something is being done for, and when libvirt's hook last asked for that."""

    def __init__(self) -> None:
        self._asked: dict[UUID, float] = {}
        self._locks: defaultdict[UUID, threading.Lock] = defaultdict(threading.Lock)
        self._users: defaultdict[UUID, int] = defaultdict(int)
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, domain: UUID, deadline: Deadline) -> Iterator[bool]:
        """Hold a domain's lock; whether it could be had before the deadline."""
        with self._guard:
            lock = self._locks[domain]
            self._users[domain] += 1
        held = lock.acquire(timeout=deadline.remaining)
        try:
            yield held
        finally:
            if held:
                lock.release()
            with self._guard:
                self._users[domain] -= 1
                if not self._users[domain]:
                    del self._users[domain], self._locks[domain]

    def note(self, domain: UUID) -> None:
        """Remember that the hook asks for something for a domain now: what was seen of it before is old."""
        now = time.monotonic()
        with self._guard:
            self._asked = {other: when for other, when in self._asked.items() if now - when < _REMEMBERED}
            self._asked[domain] = now

    def asked(self, domain: UUID) -> float:
        """When it asked last, on the monotonic clock; 0 where that is long ago."""
        with self._guard:
            return self._asked.get(domain, 0.0)


class _Request(socketserver.BaseRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        config = self.server.config
        _, uid, _ = _UCRED.unpack(self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != 0:
            _log.warning("refused a request of user %d: only root may ask", uid)
            return
        share = config.call_deadline * AGENT_SHARE
        self.request.settimeout(share)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.request.sendall(b"%f\n" % share)
            line, _, xml = self._read_all().partition(b"\n")
            operation, started = line.decode().split()
            if operation in _CHECKS:
                result = self._check(repair=operation == "repair")
            else:
                result = self._answer(operation, xml, Deadline(float(started) + share - _MARGIN))
            self.request.sendall(f"{result.exit_code}\n{result.message}".encode())

    def _answer(self, operation: str, xml: bytes, deadline: Deadline) -> Answer:
        try:
            domain = domainxml.identify(xml)
        except InvalidRequest as error:
            return Answer(error.exit_code, f"ovnhook: error: {error}")
        self.server.domains.note(domain.uuid)
        with self.server.domains.hold(domain.uuid, deadline):
            # Where the lock could not be had in time no time is left, and nothing will be done.
            result = answer(operation, xml, self.server.host, self.server.config, deadline)
        level = logging.WARNING if result.message else logging.INFO
        _log.log(level, "%s of domain %s (%s): %s", operation, domain.name, domain.uuid, result.message or "done")
        if result.unavailable:
            self.server.on_unavailable()
        return result

    def _check(self, *, repair: bool) -> Answer:
        try:
            return Answer(0, json.dumps([_shown(found) for found in self.server.check(repair=repair)]))
        except OvnhookError as error:
            return Answer(error.exit_code, json.dumps({"message": error.message, "hint": error.hint}))

    def _read_all(self) -> bytes:
        data = bytearray()
        while part := self.request.recv(1 << 16):
            data += part
            if len(data) > _MOST_XML:
                raise OvnhookError(f"a request has more than {_MOST_XML} bytes")
        return bytes(data)


def _shown(found: Found) -> dict[str, Any]:
    """A difference as the command shows it."""
    one = found.difference
    return {
        "domain": one.domain,
        "interface": one.interface,
        "difference": one.what,
        "mend": str(one.mend),
        "mended": found.mended,
        "error": found.error,
    }


def _take_over(path: Path) -> None:
    """Remove a socket on which nobody listens."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except TimeoutError as error:
            raise OvnhookError(f"another agent serves {path} and does not answer") from error
        else:
            raise OvnhookError(f"another agent serves {path}")
