"""Unix sockets of control services, looked at without gRPC, which costs a tenth of a second to import."""

from __future__ import annotations

import socket as sockets
from pathlib import Path

from ovnhook.base.errors import Unavailable

_TIMEOUT = 2.0  # seconds to connect


def find(socket: Path) -> None:
    """Connect to a unix socket once, without gRPC, whose errors are less clear.

    Raises:
        Unavailable: it can't be reached.
    """
    try:
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.settimeout(_TIMEOUT)
            probe.connect(str(socket))
    except PermissionError as error:
        raise Unavailable(f"only root may use the control service at {socket}", "sudo ovnhook …") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        hint = "systemctl start ovnhook-control"
        raise Unavailable(f"the control service is not running at {socket}", hint) from error
    except (BlockingIOError, TimeoutError):
        return  # its backlog is full: gRPC waits
    except OSError as error:
        why = error.strerror or error
        raise Unavailable(f"the control service at {socket} can't be reached: {why}") from error
