"""The process ``ovnhook-control``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sdnotify import SystemdNotifier

from ovnhook.base import logs
from ovnhook.base.config import CONTROL_SOCKET, PATH, load
from ovnhook.base.errors import OvnhookError
from ovnhook.control.server import ControlServer

_log = logging.getLogger("ovnhook.control")

_SWITCH_INTERVAL = 0.0005  # seconds, of Python's 0.005: one that waits for a database is not behind all that compute
_KEEPALIVE_INTERVAL = 2.0  # seconds between answers to the databases' inactivity probes, which time out after 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status.

    Args:
        arguments: command-line arguments; None for those of the process.
    """
    parser = argparse.ArgumentParser(prog="ovnhook-control", description="The control service of ovnhook.")
    parser.add_argument("--config", type=Path, default=PATH, help="configuration file (default: %(default)s)")
    parser.add_argument(
        "--socket", type=Path, default=CONTROL_SOCKET, help="unix socket of the API (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    logs.to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = load(given.config)
        server = ControlServer(given.socket, config)
        server.start()
    except OvnhookError as error:
        _log.error("%s", error)
        return error.exit_code
    _log.info("serving on %s", " and ".join(filter(None, (str(given.socket), config.listen))))
    systemd = SystemdNotifier()  # sd_notify(3); does nothing without NOTIFY_SOCKET
    systemd.notify("READY=1")
    was_stuck: list[str] = []
    while not stop.wait(_KEEPALIVE_INTERVAL):
        stuck = server.liveness.stuck()
        if not stuck:
            systemd.notify("WATCHDOG=1")
        elif stuck != was_stuck:
            _log.error("stuck: %s: the watchdog will restart the service", ", ".join(stuck))
        was_stuck = stuck
        server.keep_alive()
    systemd.notify("STOPPING=1")
    server.stop()
    return 0


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # without the threads of RPCs that were cancelled and still wait for a database
