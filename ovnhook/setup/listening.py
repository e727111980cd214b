"""Listeners of the northbound server, by its command line only: the table Connection is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovnhook.base.command import run
from ovnhook.pki import keyfiles
from ovnhook.pki.keyfiles import Files
from ovnhook.setup.services import runs_with
from ovnhook.setup.step import Step

# Pinned: ovn-ctl(8) always reads these from rows of SSL. The last option wins.
_TLS = ("--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5")
_BY_ROWS = "--remote=db:OVN_Northbound,NB_Global,connections"
_UNIT = "ovn-ovsdb-server-nb"


@dataclass(frozen=True)
class Listening:
    """Listener of the northbound server, besides its unix socket.

    Attributes:
        target: connection method, such as ``pssl:6641``.
        is_open: it listens there.
        files: TLS files of the server.
    """

    target: str
    is_open: bool
    files: Files

    @property
    def text(self) -> str:
        """Content of the drop-in."""
        keys = {"key": self.files.key, "cert": self.files.certificate, "ca-cert": self.files.ca}
        options = ["--db-nb-use-remote-in-db=no"]
        options += [f"--ovn-nb-db-ssl-{what}={path}" for what, path in keys.items()]
        start = "/usr/share/ovn/scripts/ovn-ctl run_nb_ovsdb $OVN_CTL_OPTS"
        return (
            "# Written by ovnhook node init. Whoever writes Connection rows is root here if the server obeys them.\n"
            "[Service]\nExecStart=\n"
            f"ExecStart={start} {' '.join([*options, '--', *self._remotes, *_TLS])}\n"
        )

    @property
    def _remotes(self) -> list[str]:
        return [self._remote] if self.is_open else []

    @property
    def _remote(self) -> str:
        return f"--remote={self.target}"

    @property
    def _where(self) -> str:
        return f"only on {self.target}" if self.is_open else "on its unix socket only"

    def written(self) -> Step:
        """Write the drop-in."""
        file = keyfiles.NORTHBOUND_DROP_IN
        return Step(
            f"{_UNIT} is configured to listen {self._where}",
            lambda: keyfiles.read(file) == self.text.encode(),
            lambda: keyfiles.write(file, self.text.encode(), keyfiles.PUBLIC),
        )

    def runs(self) -> Step:
        """Restart the server if needed."""
        return runs_with(
            _UNIT,
            f"{_UNIT} listens {self._where}",
            Path("/run/ovn/ovnnb_db.pid"),
            _restart,
            *(*self._remotes, *_TLS, f"--ca-cert={self.files.ca}"),
            never=[_BY_ROWS, *([] if self.is_open else [self._remote])],
        )

    def steps(self) -> Iterator[Step]:
        """Write the drop-in and restart the server."""
        yield self.written()
        yield self.runs()


def _restart() -> None:
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", _UNIT)
