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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ovnhook.agent.host import Host
from ovnhook.agent.lifecycle import AGENT_SHARE, Answer, answer, read, refusal
from ovnhook.agent.locks import DomainLocks
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError, Unavailable
from ovnhook.diagnosis.values import CheckResult

_log = logging.getLogger(__name__)

_CHECKS = ("check", "repair")
_MOST_CONNECTIONS = 64  # libvirtd runs 20 hooks at a time (libvirtd.conf, max_workers)
_MOST_CHECKS = 2
_MARGIN = 0.2  # seconds between the end of our work and the end of what we promised
_MOST_XML = 16 << 20  # bytes
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


BUSY = b"busy\n"
"""The whole answer to a request that is one too many."""


class HookServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves the hook until it is shut down.

    Args:
        path: of the socket; one that a dead agent left behind is replaced.
        config: says how long an answer may take.
        host: does the work.
        domains: locks that others who work on a domain take too.
        on_unavailable: called when something was left undone because a database was away.
        check: finds what differs, and repairs it if it is called with ``repair=True``.
        beat: called by the loop that accepts connections, as long as it goes on.

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
        check: Callable[..., Sequence[CheckResult]],
        beat: Callable[[], None],
    ) -> None:
        self.config = config
        self.host = host
        self.domains = domains
        self.on_unavailable = on_unavailable
        self.check = check
        self._beat = beat
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._checks = threading.BoundedSemaphore(_MOST_CHECKS)
        _take_over(path)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Request)
        finally:
            os.umask(before)

    def service_actions(self) -> None:
        """Show that connections are accepted."""
        self._beat()

    def process_request(self, request: Any, client_address: object) -> None:
        """Answer in a thread of its own, or say at once that there are too many: the hook works by itself then."""
        if not self._connections.acquire(blocking=False):
            _log.warning("busy: %d requests are being answered, one more was sent away", _MOST_CONNECTIONS)
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: object) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    @contextlib.contextmanager
    def one_of_few(self) -> Iterator[None]:
        """Be one of the few checks at a time.

        Raises:
            Unavailable: there are enough.
        """
        if not self._checks.acquire(blocking=False):
            raise Unavailable(f"the agent is busy: {_MOST_CHECKS} checks have not ended", "try again in half a minute")
        try:
            yield
        finally:
            self._checks.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with one connection; the others go on."""
        _log.exception("a request failed")


class _Request(socketserver.BaseRequestHandler):
    server: HookServer
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
                result = self._answer(operation, xml, Deadline(float(started) + share - _MARGIN, float(started)))
            self.request.sendall(f"{result.exit_code}\n{result.message}".encode())

    def _answer(self, operation: str, xml: bytes, deadline: Deadline) -> Answer:
        config, domains = self.server.config, self.server.domains
        try:
            request = read(operation, xml, config.integration_bridge, deadline)
        except InvalidRequest as error:
            return refusal(operation, error)
        domain = request.domain
        domains.record_request(domain.uuid, operation)
        result = answer(request, self.server.host, config, domains.hold(domain.uuid, deadline, domain.name))
        level = logging.WARNING if result.message else logging.INFO
        _log.log(level, "%s of domain %s (%s): %s", operation, domain.name, domain.uuid, result.message or "done")
        if result.unavailable:
            self.server.on_unavailable()
        return result

    def _check(self, *, repair: bool) -> Answer:
        try:
            with self.server.one_of_few():
                return Answer(0, json.dumps([_shown(found) for found in self.server.check(repair=repair)]))
        except OvnhookError as error:
            return Answer(error.exit_code, json.dumps({"message": error.message, "hint": error.hint}))

    def _read_all(self) -> bytes:
        data, deadline = bytearray(), Deadline.after(self.server.config.call_deadline)
        while part := self.request.recv(1 << 16):
            data += part
            deadline.check("a request does not end")
            if len(data) > _MOST_XML:
                raise OvnhookError(f"a request has more than {_MOST_XML} bytes")
        return bytes(data)


def _shown(found: CheckResult) -> dict[str, Any]:
    """A difference as the command shows it."""
    one = found.difference
    return {
        "domain": one.domain,
        "interface": one.interface,
        "difference": one.what,
        "repair": str(one.repair),
        "repaired": found.repaired,
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
