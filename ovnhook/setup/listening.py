"""Where a server of OVN's databases listens, by its command line alone: it follows no row that tells it more."""

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
# Pinned: the rows that ovn-ctl(8) takes these from can't be left out. Of two the later one holds.
_TLS = ("--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5")
_TABLES = {"nb": "OVN_Northbound,NB_Global", "sb": "OVN_Southbound,SB_Global"}


@dataclass(frozen=True)
class Listening:
    """How one of the two servers is started.

    Attributes:
        short: what ovn-ctl(8) calls the database: ``nb`` or ``sb``.
        targets: where it listens: ``pssl:6641``.
        files: its keys.
    """

    short: str
    targets: Sequence[str]
    files: Files

    @property
    def unit(self) -> str:
        """Debian's unit."""
        return f"ovn-ovsdb-server-{self.short}"

    @property
    def file(self) -> Path:
        """The drop-in of the unit."""
        return _FOLDER / f"{self.unit}.service.d" / "ovnhook.conf"

    @property
    def text(self) -> str:
        """What is in the drop-in."""
        keys = {"key": self.files.key, "cert": self.files.certificate, "ca-cert": self.files.ca}
        options = [f"--db-{self.short}-use-remote-in-db=no"]
        options += [f"--ovn-{self.short}-db-ssl-{what}={path}" for what, path in keys.items()]
        start = f"/usr/share/ovn/scripts/ovn-ctl run_{self.short}_ovsdb $OVN_CTL_OPTS"
        return (
            "# Written by ovnhook node init. Rows could let the server listen anywhere, and others may write rows.\n"
            "[Service]\nExecStart=\n"
            f"ExecStart={start} {' '.join([*options, '--', *self._remotes, *_TLS])}\n"
        )

    @property
    def _remotes(self) -> list[str]:
        return [f"--remote={target}" for target in self.targets]

    def written(self) -> Step:
        """The unit starts it so from now on."""
        return Step(
            f"{self.unit} is to listen at {', '.join(self.targets)}, and nowhere because a row says so",
            lambda: keyfiles.read(self.file) == self.text.encode(),
            lambda: keyfiles.write(self.file, self.text.encode(), keyfiles.PUBLIC),
        )

    def runs(self) -> Step:
        """It was started so."""
        return runs_with(
            self.unit,
            f"{self.unit} listens at {', '.join(self.targets)}, and nowhere because a row says so",
            Path(f"/run/ovn/ovn{self.short}_db.pid"),
            self._restart,
            *(*self._remotes, *_TLS, f"--private-key={self.files.key}"),
            never=f"--remote=db:{_TABLES[self.short]},connections",
        )

    def steps(self) -> Iterator[Step]:
        """Both."""
        yield self.written()
        yield self.runs()

    def _restart(self) -> None:
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", self.unit)
