"""Listeners of OVN's database servers, by their command line only: the table Connection is ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovnhook.pki import keyfiles
from ovnhook.pki.keyfiles import Files
from ovnhook.setup.command import run
from ovnhook.setup.services import runs_with
from ovnhook.setup.step import Step

_FOLDER = Path("/etc/systemd/system")
# Pinned: ovn-ctl(8) always reads these from rows of SSL. The last option wins.
_TLS = ("--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5")
_TABLES = {"nb": "OVN_Northbound,NB_Global", "sb": "OVN_Southbound,SB_Global"}


@dataclass(frozen=True)
class Listening:
    """Listeners of one of the two servers.

    Attributes:
        short: the database's name in ovn-ctl(8): ``nb`` or ``sb``.
        targets: connection methods, such as ``pssl:6641``.
        files: TLS files of the server.
    """

    short: str
    targets: Sequence[str]
    files: Files

    @property
    def unit(self) -> str:
        """Name of Debian's unit."""
        return f"ovn-ovsdb-server-{self.short}"

    @property
    def file(self) -> Path:
        """Path of the unit's drop-in."""
        return _FOLDER / f"{self.unit}.service.d" / "ovnhook.conf"

    @property
    def text(self) -> str:
        """Content of the drop-in."""
        keys = {"key": self.files.key, "cert": self.files.certificate, "ca-cert": self.files.ca}
        options = [f"--db-{self.short}-use-remote-in-db=no"]
        options += [f"--ovn-{self.short}-db-ssl-{what}={path}" for what, path in keys.items()]
        start = f"/usr/share/ovn/scripts/ovn-ctl run_{self.short}_ovsdb $OVN_CTL_OPTS"
        return (
            "# Written by ovnhook node init. Nodes can write Connection rows, so the server must ignore them.\n"
            "[Service]\nExecStart=\n"
            f"ExecStart={start} {' '.join([*options, '--', *self._remotes, *_TLS])}\n"
        )

    @property
    def _remotes(self) -> list[str]:
        return [f"--remote={target}" for target in self.targets]

    def written(self) -> Step:
        """Write the drop-in."""
        return Step(
            f"{self.unit} is configured to listen only on {', '.join(self.targets)}",
            lambda: keyfiles.read(self.file) == self.text.encode(),
            lambda: keyfiles.write(self.file, self.text.encode(), keyfiles.PUBLIC),
        )

    def runs(self) -> Step:
        """Restart the server if needed."""
        return runs_with(
            self.unit,
            f"{self.unit} listens only on {', '.join(self.targets)}",
            Path(f"/run/ovn/ovn{self.short}_db.pid"),
            self._restart,
            *(*self._remotes, *_TLS, f"--private-key={self.files.key}"),
            never=f"--remote=db:{_TABLES[self.short]},connections",
        )

    def steps(self) -> Iterator[Step]:
        """Write the drop-in and restart the server."""
        yield self.written()
        yield self.runs()

    def _restart(self) -> None:
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", self.unit)
