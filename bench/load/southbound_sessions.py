"""Many monitor sessions on a southbound database, like those of ovn-controllers.

Run as a program by bench.subjects.scale, in a process of its own. What they hear is read and thrown away.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

_TABLES = ("Port_Binding", "Datapath_Binding", "Chassis", "DNS", "MAC_Binding", "Address_Set", "Port_Group")
_QUIET = 2.0  # seconds without data after which all initial contents have arrived


def main(path: str, count: int) -> None:
    """Read forever; print a line when all initial contents have arrived."""
    selector = selectors.DefaultSelector()
    wanted: dict[str, list[dict[str, str]]] = {table: [{}] for table in _TABLES}
    request = json.dumps({"id": 1, "method": "monitor_cond", "params": ["OVN_Southbound", "all", wanted]}).encode()
    for _ in range(count):
        session = socket.socket(socket.AF_UNIX)
        session.connect(path)
        session.sendall(request)
        selector.register(session, selectors.EVENT_READ)
    heard, measured = 0, False
    while True:
        ready = selector.select(_QUIET)
        for key, _ in ready:
            heard += len(key.fileobj.recv(1 << 20))  # type: ignore[union-attr]
        if not ready and not measured:
            print(heard, flush=True)
            measured = True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
