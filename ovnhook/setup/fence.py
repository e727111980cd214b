"""Keeps nodes from the ports that are for control hosts alone."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.pki.fence import PORTS, TABLE
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.setup.command import holds, run
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step

_UNIT = "ovnhook-fence"


def steps(files: AuthorityFiles) -> Iterator[Step]:
    """The rules hold, after a reboot and when other control hosts come or go as well.

    Args:
        files: of the authority, where the control service writes the rules.
    """
    yield Step(f"{files.fence} is there", files.fence.exists, hint="journalctl -u ovnhook-control")
    yield enabled(f"{_UNIT}.path", "ovnhook-control")
    yield Step(
        f"control hosts alone reach ports {', '.join(map(str, PORTS))}",
        lambda: holds("nft", "list", "table", *TABLE) and holds("systemctl", "is-enabled", "--quiet", _UNIT),
        _begin,
        hint=f"systemctl status {_UNIT}",
    )


def _begin() -> None:
    run("systemctl", "enable", _UNIT)
    holds("systemctl", "start", _UNIT)  # what is needed of it is looked at
