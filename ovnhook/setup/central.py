"""OVN central on this host: databases and northd, and the check that they listen locally only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from ovnhook.base.command import run, succeeds
from ovnhook.base.config import Config
from ovnhook.base.errors import FailedPrecondition, OvnhookError
from ovnhook.setup.services import enabled, started
from ovnhook.setup.step import Step

_ANSWER = "--timeout=3"  # seconds
_ANY = "--no-leader-only"  # accepts any member of a cluster


def steps() -> Iterator[Step]:
    """Start both databases and northd, and refuse listeners without TLS."""
    yield enabled("ovn-central", "ovn-central")
    for unit in ("ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb", "ovn-northd"):
        yield started(unit)
    for tool, name in (("ovn-nbctl", "northbound"), ("ovn-sbctl", "southbound")):
        yield Step(
            f"the {name} database answers",
            partial(_answers, tool),
            timeout=120,
            hint=f"systemctl status ovn-ovsdb-server-{name[0]}b",
        )
        control = f"/run/ovn/ovn{name[0]}b_db.ctl"
        remotes = run("ovs-appctl", _ANSWER, "-t", control, "ovsdb-server/list-remotes")
        check_private(name, tool, (remotes + run(tool, _ANSWER, _ANY, "get-connection")).split())


def check_own(config: Config) -> None:
    """Refuse a configuration with databases on other hosts.

    Raises:
        FailedPrecondition: a database is on another host.
    """
    for key in ("northbound", "southbound"):
        there = getattr(config, key)
        if there != getattr(Config, key):  # the default is this host's
            raise FailedPrecondition(
                f"ovnhook.toml: the {key} database is at {there}, not on this host",
                f"to use this host's database, remove '{key}' from /etc/ovnhook/ovnhook.toml",
            )


def check_private(name: str, tool: str, targets: Sequence[str]) -> None:
    """Refuse a database that other hosts can write to without a certificate.

    Args:
        name: name of the database, for the message.
        tool: tool that configures its listeners.
        targets: its connection methods.

    Raises:
        FailedPrecondition: it listens without TLS on an address other than loopback.
    """
    for target in targets:
        kind, _, rest = target.partition(":")
        if kind == "ptcp" and not _is_loopback(rest.partition(":")[2]):
            raise FailedPrecondition(
                f"the {name} database listens on {target}, without TLS: every host that reaches it can change the"
                " network",
                f"if no other host needs it: {tool} del-connection; /etc/default/ovn-central",
            )


def connections(tool: str) -> dict[str, str]:
    """Listeners of a database: RBAC role by connection method.

    Args:
        tool: ``ovn-nbctl`` or ``ovn-sbctl``.
    """
    found = {}
    for line in run(tool, _ANSWER, "--no-leader-only", "get-connection").splitlines():
        role = re.search(r'role="(.*?)"', line)  # southbound only
        found[line.split()[-1]] = role[1] if role else ""
    return found


def listen(tool: str, targets: Mapping[str, str]) -> None:
    """Replace the listeners of a database.

    Args:
        tool: ``ovn-nbctl`` or ``ovn-sbctl``.
        targets: listeners, as in `connections`.
    """
    words: list[str] = []
    for target, role in sorted(targets.items(), key=lambda one: one[1]):
        words += [f"role={role}"] if role else []  # applies to all targets after it
        words += [target]
    run(tool, _ANSWER, "--no-leader-only", "set-connection", *words)


def _answers(tool: str) -> bool:
    try:
        return succeeds(tool, _ANSWER, _ANY, "get-connection")
    except OvnhookError:  # a timeout, which ends it with a signal
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
