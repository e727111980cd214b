"""Debian's kernel on this machine's files: for tests of what the kernel that runs here may not have.

It runs in QEMU, without KVM, and mounts the root of this machine read-only by virtiofs; what is written stays in its
memory. What is to be run there is run as on this machine, by root.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.cpio import Archive
from lab.image import BUSYBOX, module_files, unpacked_kernel
from lab.waiting import HANG, until

REPO = Path(__file__).resolve().parents[2]

AUTHENTICATION = ("ah4", "ah6", "xfrm_user", "nft_xfrm")
"""The modules that authenticate packets between control hosts."""

_VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
_MEMORY = "6G"
_LONG = 5400.0  # seconds, of which an emulated machine needs many; a hang takes all
_MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("fuse", "virtiofs", "overlay"),
)
"""In the order in which they are loaded."""

_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
while read -r module options; do $b insmod $module; done </etc/modules
$b mount -t virtiofs -o ro root /root
$b mount -t tmpfs memory /memory
$b mkdir /memory/upper /memory/work
$b mount -t overlay overlay -o lowerdir=/root,upperdir=/memory/upper,workdir=/memory/work /new
$b mount -t proc proc /new/proc
$b mount -t sysfs sys /new/sys
$b mount -t tmpfs tmpfs /new/sys/fs/cgroup
$b mkdir /new/sys/fs/cgroup/systemd /new/sys/fs/cgroup/unified
$b mount -t cgroup -o none,name=systemd cgroup /new/sys/fs/cgroup/systemd
$b mount -t cgroup2 cgroup2 /new/sys/fs/cgroup/unified
$b mount -t devtmpfs dev /new/dev
$b mkdir -p /new/dev/pts /new/dev/shm /new/lib/modules
$b mount -t devpts devpts /new/dev/pts
for folder in dev/shm run tmp; do $b mount -t tmpfs -o size=75% tmpfs /new/$folder; done
$b mount --bind /new{modules} /new/lib/modules
exec $b switch_root /new /bin/sh -c {script}
"""
_SCRIPT = """export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
ip link set lo up
cd {folder}
{command} </dev/null
echo "lab: exit status $?"
echo o >/proc/sysrq-trigger
sleep 60
"""


def ran_elsewhere(test: str, *modules: str) -> bool:
    """Run a test with Debian's kernel, if the one that runs here does not have some modules.

    Args:
        test: as pytest names it.
        modules: that it needs.

    Returns:
        Whether that was so: there is nothing left to do here.
    """
    if subprocess.run(["modprobe", "--all", *modules], check=False, capture_output=True).returncode == 0:
        return False
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    return True


def run(*argv: str) -> str:
    """Run a program with Debian's kernel, in this repository; what it says.

    Raises:
        AssertionError: it did not end well, or not in time.
    """
    with tempfile.TemporaryDirectory(prefix="ovnhook-kernel-", dir="/var/tmp") as name:  # in /tmp it would be hidden
        work = Path(name)
        version, kernel, modules = unpacked_kernel(work)
        subprocess.run(["depmod", "-b", modules.parents[2], version], check=True)
        (work / "initramfs").write_bytes(_initramfs(modules, argv))
        socket = work / "socket"
        options = ("-o", "source=/", "-o", "sandbox=chroot", "-o", "xattr", "-o", "cache=auto")
        server = subprocess.Popen(
            [_VIRTIOFSD, f"--socket-path={socket}", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(socket.exists, HANG, "virtiofsd")
            said = _boot(kernel, work / "initramfs", socket)
        finally:
            server.kill()
            server.wait(HANG)
    assert "lab: exit status 0" in said, said
    return said


def _boot(kernel: Path, initramfs: Path, socket: Path) -> str:
    """Let it run until it switches itself off; what is said on its console."""
    argv = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
        *("-m", _MEMORY, "-object", f"memory-backend-memfd,id=memory,size={_MEMORY},share=on"),
        *("-numa", "node,memdev=memory", "-chardev", f"socket,id=files,path={socket}"),
        *("-device", "vhost-user-fs-pci,chardev=files,tag=root", "-nic", "none", "-nographic", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", "console=ttyS0 panic=-1 quiet"),
    ]
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_LONG
    )
    return done.stdout.decode(errors="replace")


def _initramfs(modules: Path, argv: Sequence[str]) -> bytes:
    archive = Archive()
    archive.device("dev/console", 0o600, 5, 1)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    names = []
    for name, data in module_files(modules, _MODULES):
        archive.file(f"lib/{name}.ko", data, 0o644)
        names.append(f"/lib/{name}.ko\n")
    archive.file("etc/modules", "".join(names).encode(), 0o644)
    script = _SCRIPT.format(folder=shlex.quote(str(REPO)), command=shlex.join(argv))
    init = _INIT.format(modules=modules.parent, script=shlex.quote(script))
    archive.file("init", init.encode(), 0o755)
    for folder in ("proc", "root", "memory", "new"):
        archive.folder(folder)
    return archive.finish()
