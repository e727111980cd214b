"""libvirtd on a hypervisor, with the hook of the checkout."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from lab.daemon import Daemon
from lab.host import LabHost
from lab.namespaces import PATH
from lab.waiting import accepts

QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
dynamic_ownership = 0
cgroup_controllers = [ ]
namespaces = [ ]
"""

LIBVIRTD_CONF = """\
host_uuid = "{identity}"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:stderr"
"""


HOOK = "/etc/libvirt/hooks/qemu.d/ovnhook"


def install(host: LabHost) -> None:
    """Give the host the daemon libvirtd."""
    host.daemons["libvirtd"] = Daemon(
        host,
        "libvirtd",
        ["libvirtd", "--pid-file", "/run/libvirtd.pid"],
        ready=lambda _: accepts(socket(host)),
        environment={"PATH": PATH},
    )


def start(host: LabHost, hook: Path | None) -> None:
    """Configure libvirt, with the hook if there is one, and start it."""
    folder = host.outside_path("/etc/libvirt")
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"ovnhook-lab:{host.prefix}:{host.name}")
    (folder / "qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
    (folder / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(identity=identity), encoding="utf-8")
    (host.outside_path("/var/log/libvirt") / "qemu").mkdir(exist_ok=True)
    if hook is not None and hook.exists():
        install_hook(host, hook)
    host.daemons["libvirtd"].start()


def install_hook(host: LabHost, hook: Path) -> None:
    """Install the hook. A libvirtd without any hook has to be reloaded afterwards."""
    target = host.outside_path(HOOK)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(hook, target)
    target.chmod(0o755)


def remove_hook(host: LabHost) -> None:
    """Remove the hook."""
    host.outside_path(HOOK).unlink(missing_ok=True)


def socket(host: LabHost) -> Path:
    """The socket of libvirt, at a path that is the same on all hosts of the lab."""
    return host.run_folder / "libvirt" / "libvirt-sock"
