"""Firewall that restricts the cluster ports to control hosts."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.command import run, succeeds
from ovnhook.pki.fence import PORTS, TABLE
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step

_UNIT = "ovnhook-fence"


def steps(files: AuthorityFiles) -> Iterator[Step]:
    """Load the rules now, at boot, and when control hosts are added or removed.

    Args:
        files: files of the authority, where the control service writes the rules.
    """
    yield Step(f"{files.fence} exists", files.fence.exists, hint="journalctl -u ovnhook-control")
    yield enabled(f"{_UNIT}.path", "ovnhook-control")
    yield Step(
        f"only control hosts reach ports {', '.join(map(str, PORTS))}",
        lambda: succeeds("nft", "list", "table", *TABLE) and succeeds("systemctl", "is-enabled", "--quiet", _UNIT),
        _start,
        hint=f"systemctl status {_UNIT}",
    )


def _start() -> None:
    run("systemctl", "enable", _UNIT)
    succeeds("systemctl", "start", _UNIT)  # the step checks the result
