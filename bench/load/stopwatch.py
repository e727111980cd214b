"""Timed commands inside a host of the lab, requested on standard input.

Not imported by anything: `bench.load.sites` starts it as a program, so that between a request and the command's start
there is nothing but a fork of this small process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Answer each request, a line of JSON, with a line of JSON."""
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Run the commands of a request in parallel; return the total time, exit codes and outputs."""
    files = [os.memfd_create("said") for _ in asked["commands"]]
    inputs = [_file(command["input"].encode()) for command in asked["commands"]]
    began = time.perf_counter()
    children = []
    for command, given, said in zip(asked["commands"], inputs, files, strict=True):
        actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        argv = command["argv"]
        children.append(os.posix_spawn(argv[0], argv, {"LC_ALL": "C", "PATH": os.defpath}, file_actions=actions))
    ends = []
    for child in children:
        _, status = os.waitpid(child, 0)
        ends.append((os.waitstatus_to_exitcode(status), time.perf_counter() - began))
    took = time.perf_counter() - began
    said_all = []
    for file in files:
        os.lseek(file, 0, os.SEEK_SET)
        said_all.append(os.read(file, 1 << 16).decode(errors="replace"))
    for file in (*files, *inputs):
        os.close(file)
    return {"seconds": took, "codes": [code for code, _ in ends], "said": said_all}


def _file(content: bytes) -> int:
    file = os.memfd_create("given")
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


if __name__ == "__main__":
    main()
