"""The namespaces of a host, its folders, and how programs run in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from lab import state
from lab.process import run
from lab.waiting import HANG

NETNS = Path("/run/netns")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OWN = {
    "run": "/run",
    "etc-libvirt": "/etc/libvirt",
    "var-libvirt": "/var/lib/libvirt",
    "log-libvirt": "/var/log/libvirt",
    "cache-libvirt": "/var/cache/libvirt",
    "etc-ovnhook": "/etc/ovnhook",
    "log-ovnhook": "/var/log/ovnhook",
}
"""The folders of its own that a host has: the name in its state folder, and where it is seen."""

IN_RUN = ("openvswitch", "ovn", "libvirt", "ovnhook", "lab/console", "lock", "shm")


class Namespaces:
    """A network, a mount and a host-name namespace with folders of their own: run commands in them."""

    def __init__(self, prefix: str, name: str) -> None:
        self.prefix = prefix
        self.name = name
        self.state = state.folder(prefix)
        self.folder = self.state / name
        self.logs = self.folder / "logs"
        self.pids = self.folder / "pids"
        self.run_folder = self.folder / "run"
        self.network = f"{prefix}-{name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.network}>"

    # -- making and removing

    def create(self, files: Path, python: Path | None = None, site: Path | None = None) -> None:
        """Make its namespaces.

        Args:
            files: folder with the files ``hosts`` and ``resolv.conf`` of all hosts.
            python: mounted over the machine's ``site`` folder.
            site: that folder.
        """
        for name in OWN:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "var-libvirt" / "boot").mkdir(exist_ok=True)  # as the package has it, for virt-install
        for name in IN_RUN:
            (self.run_folder / name).mkdir(parents=True, exist_ok=True)
        seen = self.run_folder / "ovnhook-lab" / self.prefix
        for path in (self.logs, self.pids, self.folder / "bin", seen):
            path.mkdir(parents=True, exist_ok=True)
        for kind in ("mnt", "uts"):
            self._namespace(kind).touch()
        run(["ip", "netns", "add", self.network])
        script = [
            f"hostname {self.name}",
            "if mountpoint -q /run/netns; then umount -R -l /run/netns; fi",
            "umount -R -l /sys",
            "mount -t sysfs sysfs /sys",
            f"mount --bind {self.state} {seen}",
            *(f"mount --rbind {self.folder / name} {target}" for name, target in OWN.items()),
            *(f"mount --bind {files / name} /etc/{name}" for name in ("hosts", "resolv.conf")),
            "ip link set lo up",
        ]
        if python is not None and site is not None:
            script.append(f"mount --bind {python} {site}")
        run(
            [
                *("nsenter", f"--net={NETNS / self.network}", "--"),
                *("unshare", f"--mount={self._namespace('mnt')}", f"--uts={self._namespace('uts')}"),
                *("--propagation", "private", "--"),
                *shell("\n".join(script)),
            ]
        )

    def destroy(self) -> None:
        """Remove its namespaces; its processes have ended."""
        for kind in ("mnt", "uts"):
            path = self._namespace(kind)
            while path.exists() and os.path.ismount(path):
                run(["umount", str(path)])
            path.unlink(missing_ok=True)
        if (NETNS / self.network).exists():
            run(["ip", "netns", "del", self.network])

    def namespaces(self) -> list[tuple[str, int]]:
        """Its namespaces as (kind, inode), those that exist."""
        found = []
        for kind, path in (("net", NETNS / self.network), ("mnt", self._namespace("mnt"))):
            if path.exists() and os.path.ismount(path):
                found.append((kind, path.stat().st_ino))
        return found

    # -- running programs

    @property
    def path(self) -> str:
        """The PATH of its programs."""
        return f"{self.folder / 'bin'}:{PATH}"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of its programs: small, and nothing of the caller's but the terminal."""
        base = {
            "PATH": self.path,
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "TERM": os.environ.get("TERM", "dumb"),
        }
        return {**base, **(more or {})}

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv`` on this host when it is run on the machine."""
        return [
            "nsenter",
            f"--net={NETNS / self.network}",
            f"--mount={self._namespace('mnt')}",
            f"--uts={self._namespace('uts')}",
            "--",
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout: float = HANG,
        input: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; when it fails, or is not done in time, the error shows all of it."""
        return run(
            self.argv(argv),
            inner=argv,
            where=self.name,
            check=check,
            timeout=timeout,
            input=input,
            environment=self.environment(environment),
        )

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own; the pid is the command's. It ends with the lab at the latest."""
        return subprocess.Popen(
            self.argv(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.environment(environment),
            start_new_session=True,
        )

    def enter(self, argv: Sequence[str]) -> NoReturn:
        """Become the command, with the terminal."""
        command = self.argv(argv)
        os.execvpe(command[0], command, self.environment())

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host."""
        self.run([*shell(f'mkdir -p "${{0%/*}}"; cat > "$0"; chmod {mode:o} "$0"'), path], input=text)

    def read(self, path: str) -> str:
        """Read a file on the host."""
        return self.run(["cat", path]).stdout

    def outside_path(self, path: str) -> Path:
        """Path on the machine of a file in one of the host's own folders, such as /run."""
        for name, target in OWN.items():
            if path == target or path.startswith(f"{target}/"):
                return self.folder / name / path[len(target) :].lstrip("/")
        return Path(path)

    def _namespace(self, kind: str) -> Path:
        return self.state / "ns" / f"{self.name}.{kind}"


def shell(command: str) -> list[str]:
    """The arguments that run a line of shell."""
    return ["/bin/sh", "-ec", command]
