"""Disk images of Debian machines with Debian's own kernel, made once and kept in the lab's cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import state
from lab.cpio import Archive
from lab.image import Image, image
from tests.packages.machine import packages

FILES = Path(__file__).resolve().parent / "image_files"
CACHE = state.CACHE / "machines"
"""A folder with a lock of its own: to make an image takes minutes, for which no lab is to wait."""

GUEST = Image(Path("/var/lib/libvirt/images/vmlinuz"), Path("/var/lib/libvirt/images/initramfs"))
"""The lab's guest in the image. Its init is ``/init-machine``: it is emulated on an emulated machine."""

_GUEST_INIT = Path(__file__).resolve().parent / "guest_files" / "init"

_MACHINE = (
    *("systemd-sysv", "dbus", "udev", "kmod", "linux-image-amd64", "initramfs-tools", "zstd", "apparmor"),
    *("openssh-server", "iproute2", "iputils-ping", "iptables", "nftables", "procps", "ca-certificates", "python3"),
    *("libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu", "qemu-system-x86", "qemu-utils"),
    *("virtinst", "dnsmasq-base", "dmidecode"),
)
_NETWORK = {
    "bookworm": ("networking", ("ifupdown", "isc-dhcp-client")),
    "trixie": ("systemd-networkd", ("systemd-resolved",)),
}
"""Of each release, the unit that brings up the network, and its packages: two ways that Debian hosts have."""

_DAEMONS = ("openvswitch-", "ovn-")
"""Left to apt on the running machine, which starts them: the rest is installed here, at the speed of this machine."""

_TOLD = r"linux-image-\d\S+|libvirt-daemon|qemu-system-x86|openvswitch-switch|ovn-host"
_SIZE = "8G"
_LONG = 3600.0  # seconds


@dataclass(frozen=True)
class DiskImage:
    """A machine's disk, and the kernel that it boots.

    Attributes:
        disk: a raw file system, to be left as it is.
        kernel: Debian's kernel.
        initrd: its initramfs.
        key: the private key that opens the machine to root.
        versions: of what is installed, or will be from the repository in it.
    """

    disk: Path
    kernel: Path
    initrd: Path
    key: Path
    versions: str


def disk_image(release: str) -> DiskImage:
    """The image of a release of Debian. Building it takes minutes, and needs the package archive.

    libvirt and the Python packages that ovnhook needs are installed; Open vSwitch and OVN lie in a package repository
    in the image, as the machine reaches no other.
    """
    needed, guest = _needed(), _guest()
    sources = [
        guest,
        *(path.read_bytes() for path in (Path(__file__), *sorted(filter(Path.is_file, FILES.rglob("*"))))),
    ]
    key = hashlib.sha256(repr((needed, sources)).encode()).hexdigest()[:12]
    made = CACHE / f"{release}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with state.lock(CACHE):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="tmp.") as name:
                new = Path(name) / "image"
                new.mkdir(mode=0o755)
                _make(release, needed, guest, Path(name), new)
                new.rename(made)
    return DiskImage(
        made / "disk", made / "vmlinuz", made / "initrd", made / "key", (made / "versions").read_text("utf-8")
    )


def _needed() -> list[str]:
    """What the packages of this checkout depend on, or recommend, but for each other."""
    found = set()
    for deb in packages():
        for field in ("Depends", "Recommends"):
            done = subprocess.run(["dpkg-deb", "-f", deb, field], check=True, capture_output=True, text=True)
            found |= {one for one in done.stdout.strip().split(", ") if one and "ovnhook" not in one}
    return sorted(found)


def _guest() -> bytes:
    """The initramfs of guests: the lab's, and an archive with the other init, which the kernel unpacks after it."""
    archive = Archive()
    archive.file("init-machine", _GUEST_INIT.read_bytes(), 0o755)
    return image().initramfs.read_bytes() + archive.finish()


def _make(release: str, needed: Sequence[str], guest: bytes, work: Path, new: Path) -> None:
    """Make the files of an image in the folder ``new``."""
    tree = work / "tree"
    _run("debootstrap", "--variant=minbase", release, tree)
    shutil.copytree(FILES / "all", tree, dirs_exist_ok=True)
    shutil.copytree(FILES / release, tree, dirs_exist_ok=True)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", new / "key")
    (tree / "root/.ssh").mkdir(mode=0o700)
    shutil.copy(new / "key.pub", tree / "root/.ssh/authorized_keys")

    unit, network = _NETWORK[release]
    now = [one for one in needed if not one.startswith(_DAEMONS)]
    quiet = "apt-get -qy --no-install-recommends"
    _inside(
        tree,
        f"""
        export DEBIAN_FRONTEND=noninteractive
        printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
        {quiet} update
        {quiet} install {" ".join(_MACHINE)}
        {quiet} satisfy '{", ".join(now)}'
        apt-get clean
        {quiet} --download-only satisfy '{", ".join(needed)}'
        mkdir /srv/repo; mv /var/cache/apt/archives/*.deb /srv/repo
        {quiet} install {" ".join(network)}  # which may end the resolution of names here
        rm /usr/sbin/policy-rc.d
        apt-get clean
        systemctl -q enable {unit}
        systemctl -q mask apt-daily.timer apt-daily-upgrade.timer  # there is nothing that they could reach
        passwd -q -d root; : >/etc/machine-id; rm -f /etc/hostname
        """,
    )
    shutil.copy(image().kernel, tree / str(GUEST.kernel).lstrip("/"))
    (tree / str(GUEST.initramfs).lstrip("/")).write_bytes(guest)
    with (tree / "srv/repo/Packages").open("wb") as index:
        subprocess.run(
            ["dpkg-scanpackages", "-m", "."],
            cwd=tree / "srv/repo",
            check=True,
            stdout=index,
            stderr=subprocess.DEVNULL,
            timeout=_LONG,
        )
    shutil.rmtree(tree / "etc/apt/sources.list.d", ignore_errors=True)
    (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/repo ./\n", encoding="utf-8")
    _inside(tree, "rm -r /var/lib/apt/lists; apt-get -q update")

    indexes = [(tree / path).read_text(encoding="utf-8") for path in ("var/lib/dpkg/status", "srv/repo/Packages")]
    (new / "versions").write_text(_versions("\n".join(indexes)), encoding="utf-8")
    shutil.move(next(tree.glob("boot/vmlinuz-*")), new / "vmlinuz")
    shutil.move(next(tree.glob("boot/initrd.img-*")), new / "initrd")
    _run("truncate", "-s", _SIZE, new / "disk")
    _run("mkfs.ext4", "-q", "-F", "-d", tree, new / "disk")
    shutil.rmtree(tree)


def _versions(index: str) -> str:
    """Names and versions of what matters here, from stanzas of packages."""
    found = re.findall(rf"^Package: ({_TOLD})\n(?:.+\n)*?Version: (\S+)", index, re.MULTILINE)
    return ", ".join(" ".join(one) for one in sorted(found))


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=_LONG)


def _inside(tree: Path, script: str) -> None:
    """Run a script where a tree is the root, with a /proc that goes with it."""
    _run("unshare", "--mount", "--pid", "--fork", f"--mount-proc={tree}/proc", "chroot", tree, "/bin/sh", "-ec", script)
