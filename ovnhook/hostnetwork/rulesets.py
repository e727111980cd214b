"""Rulesets of this host's packet filter, as its commands print them."""

from __future__ import annotations

from pathlib import Path
from shutil import which

from ovnhook.base.command import run
from ovnhook.base.deadline import Deadline
from ovnhook.diagnosis.firewalls import Rulesets

_NFT_SAVERS = ("iptables-nft", "ip6tables-nft")
_LEGACY_SAVERS = {"iptables-legacy": "ip_tables_names", "ip6tables-legacy": "ip6_tables_names"}
"""Commands for tables of the kernel's older interface, and the files below /proc/net that list these."""

_PROC = Path("/proc/net")


def read(deadline: Deadline, proc: Path = _PROC) -> Rulesets:
    """Read all rulesets.

    Args:
        deadline: when to give up.
        proc: folder that lists tables of iptables-legacy, whose command would load the kernel's modules.

    Raises:
        OvnhookError: a command failed.
        Unavailable: it took too long.
    """
    if which("nft") is None:
        return Rulesets()
    nft = run("nft", "--json", "list", "ruleset", timeout=deadline.remaining)
    is_translated = '"FORWARD"' in nft or '"INPUT"' in nft  # as iptables-nft names its chains
    wanted = [tool for tool in _NFT_SAVERS if is_translated] + [
        tool for tool, names in _LEGACY_SAVERS.items() if _content(proc / names)
    ]
    saved = [(tool, run(f"{tool}-save", timeout=deadline.remaining)) for tool in wanted if which(f"{tool}-save")]
    return Rulesets(nft, tuple(saved))


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
