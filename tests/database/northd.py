"""A real ovn-northd between two database servers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.waiting import HANG
from tests.database.ovsdb_server import Server, run


class Northd:
    """ovn-northd in the foreground, while the context is open.

    Args:
        directory: directory of its files.
        northbound: northbound database.
        southbound: southbound database.
    """

    def __init__(self, directory: Path, northbound: Server, southbound: Server) -> None:
        self._nbctl = ["ovn-nbctl", f"--timeout={HANG:.0f}", f"--db={northbound.remote}"]
        databases = [f"--ovnnb-db={northbound.remote}", f"--ovnsb-db={southbound.remote}"]
        files = [f"--unixctl={directory}/northd.ctl", f"--log-file={directory}/northd.log", "-vconsole:off"]
        self._command = ["ovn-northd", "--no-chdir", *databases, *files]

    def __enter__(self) -> Self:
        run(*self._nbctl, "init")
        self._process = subprocess.Popen(self._command)
        self.sync()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(HANG)

    def sync(self) -> None:
        """Wait until the southbound database has all of the northbound one."""
        run(*self._nbctl, "--wait=sb", "sync")
