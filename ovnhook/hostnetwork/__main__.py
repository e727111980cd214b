"""The program of ovnhook-gateway.service: brings the host's side of the link to routers in order, at boot.

Guests reach the outside then, and libvirt starts them, whether or not the agent runs.
"""

from __future__ import annotations

import logging
import sys
import time

from ovnhook.base import logs
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.hostnetwork.gatewaylink import GatewayLink, has_bridge
from ovnhook.resources.router.hostlink import BRIDGE

_log = logging.getLogger("ovnhook.hostnetwork")

_TIMEOUT = 30.0  # seconds
_POLL_INTERVAL = 0.2  # seconds


def main() -> int:
    """Run once; return the exit status."""
    logs.to_stderr()
    deadline = Deadline.after(_TIMEOUT)
    try:
        while not has_bridge():  # Open vSwitch may just have started
            deadline.check(f"there is no bridge {BRIDGE}")
            time.sleep(_POLL_INTERVAL)
        for problem in GatewayLink().converge(None, deadline).problems:
            _log.warning("%s", problem)
    except OvnhookError as error:
        _log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
