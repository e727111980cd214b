"""Guests with Debian's own systemd and network services: a disk image, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from dataclasses import replace
from enum import Enum
from pathlib import Path

from lab import state
from lab.errors import LabError
from lab.image import FILES, KERNEL, KERNEL_WITH_SATA, NAMES, Image, compiled_names, image

PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "systemd-resolved", "libnss-resolve", "network-manager"),
    *("iproute2", "iputils-ping", "busybox-static", "cloud-init"),
)
PLACES = {
    "addresses": "lab/addresses",
    "commands": "lab/commands",
    "debian/commands.service": "etc/systemd/system/lab-commands.service",
    "debian/cloud.cfg": "etc/cloud/cloud.cfg.d/90_lab.cfg",
    "debian/netplan.network": "etc/systemd/network/10-netplan.network",
}
ENABLED = ("lab-commands.service",)
DISABLED = (
    *("NetworkManager.service", "NetworkManager-dispatcher.service", "NetworkManager-wait-online.service"),
    *("systemd-networkd.service", "systemd-resolved.service"),
)
"""Which of them runs is a matter of the guest."""
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("systemd-tmpfiles-clean.timer", "e2scrub_reap.service", "systemd-logind.service", "getty.target"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-random-seed.service"),
    *("systemd-pstore.service", "systemd-journal-flush.service", "modprobe@.service", "kmod-static-nodes.service"),
    *("systemd-binfmt.service", "systemd-hwdb-update.service", "systemd-sysusers.service", "ldconfig.service"),
    "systemd-firstboot.service",
)
"""Units that have nothing to do with the network, and take time."""
RULES = ("50-udev-default", "75-net-description", "80-net-setup-link", "85-nm-unmanaged", "99-systemd")
"""The rules of udev that are kept: others take time."""
DROPPED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log/journal",
)
SPARE = 1.3
"""Size of the file system, compared with that of its files."""
LONG = 3600.0


class Role(Enum):
    """Network services of a guest."""

    NETWORKD = "networkd"
    """systemd-networkd and systemd-resolved, configured as cloud-init and netplan do."""
    CLOUD_INIT = "cloud-init"
    """cloud-init, which configures systemd-networkd and systemd-resolved."""
    NETWORK_MANAGER = "NetworkManager"
    """NetworkManager without any configuration."""


RESOLVED = ("systemd-networkd.service", "systemd-resolved.service")
SERVICES = {
    Role.NETWORKD: RESOLVED,
    Role.CLOUD_INIT: RESOLVED,
    Role.NETWORK_MANAGER: ("NetworkManager.service",),
}


def debian_image(role: Role) -> Image:
    """The image of a guest. Building it the first time takes a minute or two, and needs the package archive."""
    wants = " ".join(f"systemd.wants={service}" for service in SERVICES[role])
    base = image(KERNEL_WITH_SATA if role is Role.CLOUD_INIT else KERNEL)
    words = f"rdinit=/lab/disk lab.network={role.value} {wants} systemd.show_status=0"
    if role is not Role.CLOUD_INIT:
        words += " cloud-init=disabled"
    return replace(base, disk=_disk(), cmdline=words, memory=256)


def _disk() -> Path:
    """The disk, which all roles share."""
    folder = state.CACHE / "debian"
    folder.mkdir(parents=True, exist_ok=True)
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    disk = folder / f"{release}-{_key()}.raw"
    with state.lock(folder):
        if not disk.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix="tmp.") as name:
                made = _made(release, Path(name))
                made.chmod(0o644)
                made.rename(disk)
    return disk


def _key() -> str:
    """Digest of the disk's sources."""
    digest = hashlib.sha256()
    for path in (*(FILES / name for name in PLACES), NAMES, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _made(release: str, work: Path) -> Path:
    tree, disk = work / "tree", work / "disk"
    # Only what is needed, without the package manager; nothing has to survive a crash.
    options = ["--mode=root", "--variant=essential", "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}"]
    _run("mmdebstrap", "--quiet", *options, release, str(tree))
    for name, place in PLACES.items():
        (tree / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(FILES / name, tree / place)
        (tree / place).chmod(0o755 if "." not in name else 0o644)
    shutil.copyfile(compiled_names(work), tree / "lab" / "names")
    (tree / "lab" / "names").chmod(0o755)
    for verb, units in (("disable", DISABLED), ("mask", MASKED), ("enable", ENABLED)):
        _run("systemctl", "--quiet", f"--root={tree}", verb, *units)
    for rules in (tree / "usr/lib/udev/rules.d", tree / "lib/udev/rules.d"):
        for path in rules.glob("*.rules"):
            if path.stem not in RULES:
                path.unlink()
    for name in DROPPED:
        shutil.rmtree(tree / name, ignore_errors=True)
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id"):
        (tree / name).unlink(missing_ok=True)
    used = int(_run("du", "--summarize", "--block-size=1M", str(tree)).split()[0])
    _run("truncate", f"--size={int(used * SPARE) + 16}M", str(disk))
    _run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(tree), str(disk))
    return disk


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
