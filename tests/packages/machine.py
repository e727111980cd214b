"""A machine with its own systemd, of a release of Debian, that the packages are installed on as on a real host."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from lab.waiting import until

REPO = Path(__file__).resolve().parents[2]
TREES = REPO / ".cache" / "trees"
DIST = REPO / "dist"

_BASE = ("systemd", "systemd-sysv", "dbus", "iproute2", "iputils-ping", "ca-certificates")
_CLOUD = (
    *("ovn-central", "libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu"),
    "qemu-system-x86",
)
_LONG = 900.0  # seconds, of which a busy machine needs many to boot, or to install packages; a hang takes all
_NO_DAEMONS = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"


def packages() -> list[Path]:
    """The packages of this checkout, built if that was not done yet."""
    if not list(DIST.glob("*.deb")):
        subprocess.run([REPO / "packaging" / "build"], check=True, timeout=3600)
    return sorted(DIST.glob("*.deb"))


def tree(release: str) -> Path:
    """The files of a release with all that the packages need but themselves; made once, and kept."""
    needed = [_needs(deb) for deb in packages()]
    key = hashlib.sha256(repr((_BASE, _CLOUD, needed)).encode()).hexdigest()[:12]
    made = TREES / f"{release}-{key}"
    if made.exists():
        return made
    TREES.mkdir(parents=True, exist_ok=True)
    with (TREES / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # others who test at the same time want the same
        if not made.exists():
            _make_tree(release, needed, made)
    return made


def _make_tree(release: str, needed: Sequence[str], made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=TREES, prefix="tmp.") as name:
        new = Path(name) / "tree"
        include = f"--include={','.join(_BASE)}"
        subprocess.run(["debootstrap", "--variant=minbase", include, release, new], check=True, timeout=3600)
        quiet = "DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends"
        satisfy = f"{quiet} satisfy '{', '.join(filter(None, needed))}'"
        script = f"{_NO_DAEMONS}; apt-get -q update; {quiet} install {' '.join(_CLOUD)}; {satisfy}"
        script += "; rm /usr/sbin/policy-rc.d"
        subprocess.run(["chroot", new, "/bin/sh", "-ec", script], check=True, timeout=3600)
        new.rename(made)


def _needs(deb: Path) -> str:
    """What a package depends on, but for those that are made with it."""
    done = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, capture_output=True, text=True)
    return ", ".join(one for one in done.stdout.strip().split(", ") if not one.startswith("python3-ovnhook"))


class Machine:
    """A machine that starts from a tree, which it leaves as it is.

    Args:
        release: ``bookworm``, ``trixie``.
        namespace: the network that it has (tests.packages.network); without one its own loopback interface is all.
    """

    def __init__(self, release: str, namespace: str = "") -> None:
        self._name = namespace or f"ovnhook-{os.getpid()}"
        self._network = f"--network-namespace-path=/run/netns/{namespace}" if namespace else "--private-network"
        self._layers = Path(tempfile.mkdtemp(prefix="ovnhook-machine-"))
        self._root = self._layers / "root"
        for folder in ("upper", "work", "root"):
            (self._layers / folder).mkdir()
        options = f"lowerdir={tree(release)},upperdir={self._layers}/upper,workdir={self._layers}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self._root], check=True)
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Switch it on, and wait until systemd has started all there is."""
        with (self._layers / "console").open("ab") as console:
            self._container = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", self._network),
                    *("--capability=all", "--bind=/dev/net/tun", f"--machine={self._name}"),
                    *("-D", str(self._root)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self.wait_for(lambda: self._started() in ("running", "degraded"), "systemd")

    def power_off(self) -> None:
        """Switch it off as a person does."""
        if self._container is None:
            return
        with suppress(subprocess.SubprocessError):
            self.run("systemctl poweroff", check=False)
        try:
            self._container.wait(_LONG)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait(_LONG)
        self._container = None

    def remove(self) -> None:
        """Switch it off, and forget all that it wrote."""
        self.power_off()
        subprocess.run(["umount", self._root], check=True)
        shutil.rmtree(self._layers)

    def run(self, command: str, *, check: bool = True, timeout: float = _LONG) -> str:
        """Run a command of the shell in it; what it says, also on stderr."""
        argv = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "/bin/sh", "-c", command]
        words = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            argv,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **words},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}\n{self.journal()}")
        return done.stdout

    def put(self, source: Path, target: str) -> None:
        """Copy a file to it."""
        shutil.copy(source, f"/proc/{self._init}/root{target}")

    def path(self, path: str) -> Path:
        """Where a path of it is for those outside."""
        return Path(f"/proc/{self._init}/root{path}")

    def journal(self) -> str:
        """What its journal says of ovnhook and libvirt."""
        return self.run("journalctl --no-pager -n 60 -u 'ovnhook*' -u libvirtd", check=False)

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = _LONG) -> None:
        """Wait until something is true; the error has the journal."""
        until(condition, timeout, what, self._said)

    def _said(self) -> str:
        """Its journal; before it has one, its console."""
        return self.journal() if self._init else (self._layers / "console").read_text(errors="replace")

    def _started(self) -> str:
        """What systemd says of itself, or nothing yet."""
        assert self._container is not None
        children = _children(self._container.pid)
        if not children:
            return ""
        self._init = children[0]
        with suppress(subprocess.SubprocessError):
            return self.run("systemctl is-system-running", check=False, timeout=_LONG).strip()
        return ""


def _children(pid: int) -> Sequence[int]:
    """The processes that a process has started."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def newer(debs: Sequence[Path], folder: Path) -> list[Path]:
    """The same packages of a version that is to come."""
    made = []
    for deb in debs:
        files = folder / deb.stem
        subprocess.run(["dpkg-deb", "-R", deb, files], check=True)
        control = files / "DEBIAN" / "control"
        version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True)
        old = version.stdout.strip()
        control.write_text(
            control.read_text()
            .replace(f"Version: {old}", f"Version: {old}+next")
            .replace(f"(= {old})", f"(= {old}+next)")
        )
        target = folder / f"{deb.stem}-next.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", files, target], check=True, stdout=subprocess.DEVNULL)
        made.append(target)
    return made


if os.geteuid() != 0:
    raise SystemExit("machines are booted by root alone")
