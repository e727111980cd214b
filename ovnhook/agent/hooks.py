"""Server on the agent's unix socket, for the hook and the command ``ovnhook check``.

The protocol is described in ``hooks/qemu``. Requests for different domains run in parallel, those for one domain in
order. The operations ``check`` and ``repair`` have no XML, and their message is JSON: a list of objects (`_shown`), or
an object with ``message`` and ``hint``.
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

from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.host import Host
from ovnhook.agent.lifecycle import AGENT_SHARE, Answer, answer, read, refusal, time_limit
from ovnhook.agent.locks import DomainLocks
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError, Unavailable
from ovnhook.diagnosis.values import CheckResult

_log = logging.getLogger(__name__)

_CHECKS = ("check", "repair")
_MOST_CONNECTIONS = 64  # libvirtd runs 20 hooks at a time (libvirtd.conf, max_workers)
_MOST_CHECKS = 2
_MARGIN = 0.2  # seconds between the deadline of the work and the announced one
_MOST_XML = 16 << 20  # bytes
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


BUSY = b"busy\n"
"""The whole response to a request beyond the limit."""


class HookServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves hook calls until it is shut down.

    Args:
        path: of the socket; a stale one is replaced.
        config: has the deadline of hook calls.
        host: carries out the operations.
        domains: locks shared with the reconciler.
        on_unavailable: called if an operation was deferred because a database was unavailable.
        check: finds differences, and repairs them if called with ``repair=True``.
        beat: heartbeat of the accept loop.

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
        """Send a heartbeat."""
        self._beat()

    def process_request(self, request: Any, client_address: object) -> None:
        """Handle a request in a thread of its own; beyond the limit respond busy, and the hook does the work itself."""
        if not self._connections.acquire(blocking=False):
            _log.warning("busy: %d requests in progress, another one was rejected", _MOST_CONNECTIONS)
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # thread creation failed
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: object) -> None:
        """Handle one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    @contextlib.contextmanager
    def check_slot(self) -> Iterator[None]:
        """Limit the number of concurrent checks.

        Raises:
            Unavailable: the limit is reached.
        """
        if not self._checks.acquire(blocking=False):
            raise Unavailable(f"the agent is busy: {_MOST_CHECKS} checks are in progress", "try again in half a minute")
        try:
            yield
        finally:
            self._checks.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log the exception of one request; the server goes on."""
        _log.exception("a request failed")


class _Request(socketserver.BaseRequestHandler):
    server: HookServer
    request: socket.socket

    def handle(self) -> None:
        config = self.server.config
        _, uid, _ = _UCRED.unpack(self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != 0:
            _log.warning("permission denied: request of user %d, only root may connect", uid)
            return
        self.request.settimeout(config.call_deadline * AGENT_SHARE)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            data = self._read_all()
            if not data:  # another agent that starts looks whether this one serves
                return
            line, _, xml = data.partition(b"\n")
            name, started = line.decode().split()
            share = time_limit(HookOperation(name), config) * AGENT_SHARE
            self.request.sendall(b"%f\n" % share)
            if name in _CHECKS:
                result = self._check(repair=name == "repair")
            else:
                result = self._answer(
                    HookOperation(name), xml, Deadline(float(started) + share - _MARGIN, float(started))
                )
            self.request.sendall(f"{result.exit_code}\n{result.message}".encode())

    def _answer(self, operation: HookOperation, xml: bytes, deadline: Deadline) -> Answer:
        config, domains = self.server.config, self.server.domains
        try:
            request = read(operation, xml, config.integration_bridge, deadline)
        except InvalidRequest as error:
            return refusal(operation, error)
        domain = request.domain
        domains.record_request(domain.uuid, operation)
        result = answer(request, self.server.host, config, domains.hold(domain.uuid, deadline, domain.name))
        level = logging.WARNING if result.message else logging.INFO
        _log.log(level, "%s of domain %s (%s): %s", operation.value, domain.name, domain.uuid, result.message or "done")
        if result.unavailable:
            self.server.on_unavailable()
        return result

    def _check(self, *, repair: bool) -> Answer:
        try:
            with self.server.check_slot():
                return Answer(0, json.dumps([_shown(found) for found in self.server.check(repair=repair)]))
        except OvnhookError as error:
            return Answer(error.exit_code, json.dumps({"message": error.message, "hint": error.hint}))

    def _read_all(self) -> bytes:
        data, deadline = bytearray(), Deadline.after(self.server.config.call_deadline)
        while part := self.request.recv(1 << 16):
            data += part
            deadline.check("timeout reading a request")
            if len(data) > _MOST_XML:
                raise OvnhookError(f"a request has more than {_MOST_XML} bytes")
        return bytes(data)


def _shown(found: CheckResult) -> dict[str, Any]:
    """A difference as JSON for the command."""
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
    """Remove a stale socket."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except TimeoutError as error:
            raise OvnhookError(f"another agent serves {path}, but does not respond") from error
        else:
            raise OvnhookError(f"another agent serves {path}")
