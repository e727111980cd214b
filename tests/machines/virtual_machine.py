"""A whole Debian machine in QEMU, without KVM, that is reached over ssh as by its administrator."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import CommandError, WaitError
from lab.process import run
from lab.waiting import HANG, until
from tests.machines.disk_image import DiskImage
from tests.machines.wire import Wire

LONG = 1800.0
"""Seconds for what an emulated machine does slowly: to boot, to install packages. Only a hang takes as long."""

_OPTIONS = (
    *("-q", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=20"),
)
_KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off no_timer_check systemd.hostname={name}"
"""``mitigations=off`` is for speed. On a busy host the kernel would take the emulated timer for a broken one."""

_UUIDS = uuid.UUID("6d616368-696e-4573-8000-000000000000")


def side_by_side(*calls: Callable[[], object]) -> None:
    """Call functions at the same time, each for a machine of its own, and wait for all."""
    with ThreadPoolExecutor() as pool:
        for call in [pool.submit(call) for call in calls]:
            call.result()


class VirtualMachine:
    """A machine on a wire. Its disk begins as the image, and is forgotten with it.

    One connection of ssh is opened after each boot, which all commands go through: a machine that loses it for a moment
    longer than TCP bears is seen to have lost it.

    Args:
        name: its host name, by which the wire knows it.
        image: what its disk has at first.
        wire: the network that it is on, with its one interface.
        memory: in MiB.
    """

    def __init__(self, name: str, image: DiskImage, wire: Wire, memory: int = 2560) -> None:
        self.name = name
        self._image = image
        self._wire = wire
        self._plug = wire.plugs[name]
        self._temporary = tempfile.TemporaryDirectory(prefix=f"ovnhook-{name}-")
        self._folder = Path(self._temporary.name)
        self._memory = memory
        self._qemu: subprocess.Popen[bytes] | None = None
        self._ssh: subprocess.Popen[bytes] | None = None
        backing = ("-b", str(image.disk), "-F", "raw")
        run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self._folder / "disk")])

    @property
    def address(self) -> str:
        """Its address on the wire."""
        return self._plug.address

    @property
    def key(self) -> Path:
        """The private key that opens it, and all machines of its image, to root."""
        return self._image.key

    def switch_on(self) -> None:
        """Switch it on; it boots meanwhile."""
        with (self._folder / "qemu.log").open("ab") as log:
            argv = ["ip", "netns", "exec", self._wire.namespace, *self._command()]
            self._qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def connect(self) -> None:
        """Wait until a machine that boots answers, and systemd has started all there is."""
        until(self._answers, LONG, f"{self.name} to answer", self.console)
        self.run("systemctl is-system-running --wait", check=False)

    def is_connected(self) -> bool:
        """Return whether the connection that was opened after it had booted is still open."""
        return self._ssh is not None and self._ssh.poll() is None

    def reboot(self) -> None:
        """Boot it again, as an administrator does."""
        last = self._boot_id()
        self.run("systemctl reboot", check=False)
        until(lambda: self._answers() and self._boot_id() != last, LONG, f"{self.name} to reboot", self.console)
        self.run("systemctl is-system-running --wait", check=False)

    def pull_the_plug(self) -> None:
        """Switch it off at once. Its disk stays."""
        self._disconnect()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait(HANG)
            self._qemu = None

    def remove(self) -> None:
        """Switch it off, and forget its disk."""
        self.pull_the_plug()
        self._temporary.cleanup()

    def run(self, command: str, *, check: bool = True, timeout: float = LONG) -> str:
        """Run a command of its shell; returns what is printed, also on stderr.

        Raises:
            CommandError: another exit status than 0, and ``check``.
        """
        argv = ["ssh", "-S", self._control, *_OPTIONS, "-n", "root@machine", f"exec 2>&1; {command}"]
        return run(argv, inner=[command], where=self.name, check=check, timeout=timeout).stdout

    def put(self, source: Path, target: str) -> None:
        """Copy a file to it."""
        with source.open("rb") as file:
            argv = ["ssh", "-S", self._control, *_OPTIONS, "root@machine", f"cat >{shlex.quote(target)}"]
            subprocess.run(argv, check=True, stdin=file, timeout=LONG)

    def write(self, text: str, target: str) -> None:
        """Write a file there."""
        argv = ["ssh", "-S", self._control, *_OPTIONS, "root@machine", f"cat >{shlex.quote(target)}"]
        run(argv, input=text, where=self.name)

    @contextmanager
    def socket(self, path: str) -> Iterator[Path]:
        """A socket of this machine's that leads to one of the machine's."""
        with tempfile.TemporaryDirectory(prefix="ovnhook-socket-") as folder:
            here = Path(folder) / "socket"
            forward = ("-L", f"{here}:{path}", "root@machine")
            run(["ssh", "-S", self._control, *_OPTIONS, "-O", "forward", *forward])
            try:
                yield here
            finally:
                run(["ssh", "-S", self._control, *_OPTIONS, "-O", "cancel", *forward], check=False)

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = LONG) -> None:
        """Wait until something is true there; the error has its journal."""
        until(condition, timeout, f"{self.name}: {what}", self.journal)

    def journal(self) -> str:
        """The end of its journal of ovnhook and libvirt, and of its console."""
        units = "-u 'ovnhook*' -u libvirtd"
        with suppress(Exception):
            return self.run(f"journalctl --no-pager -n 60 {units}", check=False, timeout=HANG) + self.console()
        return self.console()

    def console(self) -> str:
        """The end of what is on its console."""
        path = self._folder / "console.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    @property
    def _control(self) -> str:
        return str(self._folder / "ssh")

    def _boot_id(self) -> str:
        """What the kernel made up when it booted; empty, and no connection any more, if the machine is going down."""
        with suppress(CommandError):
            return self.run("cat /proc/sys/kernel/random/boot_id", timeout=HANG)
        self._disconnect()
        return ""

    def _answers(self) -> bool:
        """Open the connection if there is none; return whether commands can be run."""
        if self._qemu is None or self._qemu.poll() is not None:
            raise WaitError(f"{self.name}: QEMU ended: {(self._folder / 'qemu.log').read_text(errors='replace')}")
        if not self.is_connected():
            argv = [
                "ssh",
                *_OPTIONS,
                "-i",
                str(self._image.key),
                "-M",
                "-S",
                self._control,
                "-N",
                f"root@{self.address}",
            ]
            self._ssh = subprocess.Popen(
                ["ip", "netns", "exec", self._wire.namespace, *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return run(["ssh", "-S", self._control, "-O", "check", "root@machine"], check=False).returncode == 0

    def _disconnect(self) -> None:
        if self._ssh is not None:
            self._ssh.kill()
            self._ssh.wait(HANG)
            self._ssh = None
            Path(self._control).unlink(missing_ok=True)  # left there, it keeps the next connection from being shared

    def _command(self) -> list[str]:
        """QEMU's command line: of the processors that it emulates one of the simplest is the fastest."""
        disk, kernel = self._folder / "disk", _KERNEL.format(name=self.name)
        return [
            *("qemu-system-x86_64", "-name", self.name, "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512"),
            *("-cpu", "Nehalem", "-smp", "2", "-m", str(self._memory), "-nodefaults", "-no-user-config"),
            *("-display", "none", "-serial", f"file:{self._folder / 'console.log'}"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", kernel),
            *("-drive", f"file={disk},if=virtio,cache=unsafe,discard=unmap", "-device", "virtio-rng-pci"),
            *("-netdev", f"tap,id=wire,ifname={self._plug.tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=wire,mac={self._plug.mac},romfile="),
            *("-uuid", str(uuid.uuid5(_UUIDS, self.name))),
        ]
