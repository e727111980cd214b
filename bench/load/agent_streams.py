"""Streams of many agents, each over a connection of its own. What they receive is thrown away.

Run as a program on a host of the lab by bench.subjects.fleet. Its standard input is a line of JSON: the address of the
control service, and for each agent its host, CA certificate, key and certificate.
"""

from __future__ import annotations

import json
import sys
import threading

from ovnhook.api.channels import Channels, Method
from ovnhook.api.v1 import agents_pb2 as api

_WATCH = Method("ovnhook.v1.Agents", "WatchHost", api.HostUpdate, is_idempotent=True)
_TIMEOUT = 60.0  # seconds


def main() -> None:
    """Read forever; print a line when all streams have begun."""
    asked = json.loads(sys.stdin.readline())
    begun = threading.Semaphore(0)
    for host, *files in asked["agents"]:
        credentials = tuple(file.encode() for file in files)
        threading.Thread(target=_follow, args=(asked["server"], host, credentials, begun), daemon=True).start()
    for _ in asked["agents"]:
        begun.acquire()
    print("begun", flush=True)
    sys.stdin.read()


def _follow(server: str, host: str, credentials: tuple[bytes, ...], begun: threading.Semaphore) -> None:
    request = api.WatchHostRequest(host=host)
    with Channels().stream(server, credentials, _WATCH, request, connect=_TIMEOUT, timeout=_TIMEOUT) as updates:
        for number, _ in enumerate(updates):
            if number == 0:
                begun.release()


if __name__ == "__main__":
    main()
