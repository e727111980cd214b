"""The guests' kernel and initramfs, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import state
from lab.cpio import Archive
from lab.errors import LabError

KERNEL = "linux-image-cloud-amd64"
"""Package of the kernel for virtual machines: the smallest one."""
KERNEL_WITH_SATA = "linux-image-amd64"
"""Package of the kernel that has drivers of emulated hardware too, such as the CD drives that virt-install adds."""
DHCPV6 = "dhcpcd-base"
"""busybox has no client for DHCPv6."""

FILES = Path(__file__).resolve().parent / "guest_files"
BUSYBOX = Path("/bin/busybox")
GETENT = Path("/usr/bin/getent")
"""glibc's resolver, as programs use it."""
NAMES = FILES / "names.c"
"""musl's resolver, and DNS queries of all kinds."""
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "button",
    "evdev",
)
"""In the order in which they are loaded; those that a kernel has built in are not there as files."""

DISK_MODULES = (
    *("virtio_blk", "crc16", "mbcache", "jbd2", "crc32c_generic", "libcrc32c", "ext4", "overlay"),
    *("scsi_common", "scsi_mod", "libata", "libahci", "ahci", "cdrom", "sr_mod", "isofs"),
)
"""For guests whose system is on a disk (lab/debian.py), and that may have a CD."""

OPTIONS = {"virtio_net": "csum=0 gso=0"}
"""The userspace switch takes packets as they are: a checksum left to the hardware would stay wrong, and TCP hang."""

PLACES = {
    "boot": "lab/boot",
    "disk": "lab/disk",
    "network": "lab/network",
    "lease": "lab/lease",
    "lease6": "lab/lease6",
    "addresses": "lab/addresses",
    "commands": "lab/commands",
    "inittab": "etc/inittab",
    "power": "etc/acpi/PWRF/00000080",
}


@dataclass(frozen=True)
class Image:
    """What a guest boots.

    Args:
        kernel: of Linux.
        initramfs: loaded with it.
        disk: never written to, or None.
        cmdline: words for the kernel.
        memory: MiB that it needs.
    """

    kernel: Path
    initramfs: Path
    disk: Path | None = None
    cmdline: str = ""
    memory: int = 96


def image(package: str = KERNEL) -> Image:
    """The guests' image. Building it the first time takes some seconds and needs the package archive.

    Args:
        package: of the kernel, KERNEL or KERNEL_WITH_SATA.
    """
    state.CACHE.mkdir(parents=True, exist_ok=True)
    with state.lock(state.CACHE):
        key = _key(package)
        for folder in sorted(state.CACHE.glob(f"*-{key}"), reverse=True):
            return _of(folder)
        with tempfile.TemporaryDirectory(dir=state.CACHE, prefix="tmp.") as name:
            work = Path(name)
            version, kernel, modules = unpacked_kernel(work, package)
            programs = {
                "bin/dhcpcd": _unpacked(DHCPV6, work) / "usr/sbin/dhcpcd",
                "bin/getent": GETENT,
                "lab/names": compiled_names(work),
            }
            made = work / "image"
            made.mkdir()
            shutil.copyfile(kernel, made / "vmlinuz")
            (made / "initramfs").write_bytes(_initramfs(modules, programs))
            made.chmod(0o755)
            folder = state.CACHE / f"{version}-{key}"
            made.rename(folder)
        return _of(folder)


def _of(folder: Path) -> Image:
    return Image(folder / "vmlinuz", folder / "initramfs")


def _key(package: str) -> str:
    """Digest of the initramfs' sources."""
    digest = hashlib.sha256(repr((package, MODULES, DISK_MODULES, OPTIONS, DHCPV6, PLACES)).encode())
    for path in (*(FILES / name for name in PLACES), NAMES, BUSYBOX, GETENT):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def unpacked_kernel(work: Path, package: str = KERNEL) -> tuple[str, Path, Path]:
    """Version, kernel and folder of modules, out of the package that a package depends on.

    Args:
        work: where the package is unpacked.
        package: KERNEL or KERNEL_WITH_SATA.
    """
    depends = _output(["apt-cache", "depends", package], work)
    names = [line.split()[-1] for line in depends.splitlines() if line.strip().startswith("Depends: linux-image-")]
    if not names:
        raise LabError(f"apt knows no kernel package for {package}; run apt-get update")
    files = _unpacked(names[0], work)
    kernel = next((files / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    for parent in ("usr/lib/modules", "lib/modules"):
        modules = files / parent / version
        if modules.is_dir():
            return version, kernel, modules
    raise LabError(f"{names[0]} has no modules")


def _unpacked(package: str, work: Path) -> Path:
    """Download and unpack a package, without installing it."""
    _output(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], work)
    _output(["dpkg-deb", "-x", str(next(work.glob(f"{package}_*.deb"))), str(work / package)], work)
    return work / package


def compiled_names(work: Path) -> Path:
    """The program of ``names.c``.

    Args:
        work: where it is made.
    """
    made = work / "names"
    _output(["musl-gcc", "-static", "-Os", "-s", "-o", str(made), str(NAMES)], work)
    return made


def _libraries(programs: Iterable[Path], folder: Path) -> set[Path]:
    """Shared libraries of programs of this machine's release; those that are linked statically have none."""
    shared = [str(program) for program in programs if b"/ld-linux" in program.read_bytes()]
    return {Path(word) for word in _output(["ldd", *shared], folder).split() if word.startswith("/lib")}


def _initramfs(modules: Path, programs: Mapping[str, Path]) -> bytes:
    archive = Archive()
    archive.device("dev/console", 0o600, 5, 1)
    archive.device("dev/null", 0o666, 1, 3)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for applet in subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.link("init", "bin/busybox")
    archive.link("sbin", "bin")
    for place, program in programs.items():
        archive.file(place, program.read_bytes(), 0o755)
    for library in sorted(_libraries(programs.values(), modules)):
        archive.file(str(library).lstrip("/"), library.read_bytes(), 0o755)
    archive.file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)
    for name, place in PLACES.items():
        archive.file(place, (FILES / name).read_bytes(), 0o755)
    for listed, wanted in (("etc/modules", MODULES), ("etc/modules.disk", DISK_MODULES)):
        names = []
        for name, data in module_files(modules, wanted):
            archive.file(f"lib/{name}.ko", data, 0o644)
            names.append(f"/lib/{name}.ko {OPTIONS.get(name, '')}\n")
        archive.file(listed, "".join(names).encode(), 0o644)
    for folder in ("proc", "sys", "run", "tmp", "root", "var/lib/dhcpcd"):
        archive.folder(folder)
    return archive.finish()


def module_files(folder: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Those modules that a kernel has as files, as insmod takes them.

    Args:
        folder: of all of its modules.
        wanted: their names.
    """
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")}
    for name in wanted:
        if name in files:
            data = files[name].read_bytes()
            yield name, lzma.decompress(data) if files[name].suffix == ".xz" else data


def _output(argv: list[str], folder: Path) -> str:
    done = subprocess.run(
        argv, check=False, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
