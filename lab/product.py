"""The product under test on a host: the checkout as an installed package, its command, its services."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.daemon import Daemon
from lab.host import LabHost
from lab.waiting import HANG, accepts

PYTHON = "/usr/bin/python3"
CONFIGURATION = "/etc/ovnhook/ovnhook.toml"


def site_folder() -> Path:
    """The site directory of Debian's python3 for locally installed packages."""
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    found = subprocess.run([PYTHON, "-I", "-c", version], capture_output=True, text=True, check=True, timeout=HANG)
    return Path(f"/usr/local/lib/python{found.stdout.strip()}/dist-packages")


def make_python(folder: Path, tree: Path, python_path: Sequence[str]) -> None:
    """Fill a folder that, bound over the site folder, makes ``python3 -I`` import ``ovnhook`` from a checkout.

    The folders of ``python_path`` come before Debian's own packages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ovnhook-lab.pth").write_text("".join(f"{name}\n" for name in python_path), encoding="utf-8")
    link = folder / "ovnhook"
    link.unlink(missing_ok=True)
    link.symlink_to(tree / "ovnhook")


def install_command(host: LabHost) -> None:
    """Make ``ovnhook`` a command of the host."""
    command = host.folder / "bin" / "ovnhook"
    command.write_text(f'#!/bin/sh\nexec {PYTHON} -I -m ovnhook.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def configure(host: LabHost, settings: Mapping[str, str | float]) -> None:
    """Write the host's ovnhook.toml (strings and numbers are written alike in JSON and TOML)."""
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    host.outside_path(CONFIGURATION).write_text(text, encoding="utf-8")


def install_service(host: LabHost, name: str, environment: Mapping[str, str]) -> None:
    """Give the host the daemon ``agent`` or ``control``."""
    host.daemons[name] = Daemon(
        host,
        name,
        [PYTHON, "-m", f"ovnhook.{name}"],
        ready=lambda _: accepts(host.run_folder / "ovnhook" / f"{name}.sock"),
        environment=environment,
    )
