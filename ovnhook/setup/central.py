"""OVN's central part, on a host that nobody else reaches it on."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from ovnhook.base.config import Config
from ovnhook.base.errors import InUse, OvnhookError
from ovnhook.setup.command import holds, run
from ovnhook.setup.services import enabled, started
from ovnhook.setup.step import Step

_ANSWER = "--timeout=3"  # seconds
_ANY = "--no-leader-only"  # a member of a cluster that does not lead it answers as well


def steps() -> Iterator[Step]:
    """Both databases and northd run, and listen to this host alone."""
    yield enabled("ovn-central", "ovn-central")
    for unit in ("ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb", "ovn-northd"):
        yield started(unit)
    for tool, name in (("ovn-nbctl", "northbound"), ("ovn-sbctl", "southbound")):
        yield Step(
            f"the {name} database answers",
            partial(_answers, tool),
            within=120,
            hint=f"systemctl status ovn-ovsdb-server-{name[0]}b",
        )
        control = f"/run/ovn/ovn{name[0]}b_db.ctl"
        remotes = run("ovs-appctl", _ANSWER, "-t", control, "ovsdb-server/list-remotes")
        check_private(name, tool, (remotes + run(tool, _ANSWER, _ANY, "get-connection")).split())


def check_own(config: Config) -> None:
    """Refuse a host whose configuration leads to another one's databases.

    Raises:
        InUse: it does.
    """
    for key in ("northbound", "southbound"):
        there = getattr(config, key)
        if there != getattr(Config, key):  # the default is this host's
            raise InUse(
                f"ovnhook.toml says that the {key} database is at {there}, and not on this host",
                f"to have all on this host, take '{key}' out of /etc/ovnhook/ovnhook.toml",
            )


def check_private(name: str, tool: str, targets: Sequence[str]) -> None:
    """Refuse a database that others may write to who show no certificate.

    Args:
        name: of the database, for people.
        tool: that sets where it listens.
        targets: where it listens, as the tool tells.

    Raises:
        InUse: it listens in the clear, not to this host alone.
    """
    for target in targets:
        kind, _, rest = target.partition(":")
        if kind == "ptcp" and not _is_loopback(rest.partition(":")[2]):
            raise InUse(
                f"the {name} database listens on {target}: whoever reaches that may change the network",
                f"where no other host needs it: {tool} del-connection; /etc/default/ovn-central",
            )


def connections(tool: str) -> dict[str, str]:
    """Where a database listens, each with the role of those who connect there.

    Args:
        tool: ``ovn-nbctl`` or ``ovn-sbctl``.
    """
    found = {}
    for line in run(tool, _ANSWER, "--no-leader-only", "get-connection").splitlines():
        role = re.search(r'role="(.*?)"', line)  # the southbound database alone has any
        found[line.split()[-1]] = role[1] if role else ""
    return found


def listen(tool: str, targets: Mapping[str, str]) -> None:
    """Let a database listen there, and nowhere else.

    Args:
        tool: ``ovn-nbctl`` or ``ovn-sbctl``.
        targets: as `connections` tells them.
    """
    words: list[str] = []
    for target, role in sorted(targets.items(), key=lambda one: one[1]):
        words += [f"role={role}"] if role else []  # it holds for all targets after it
        words += [target]
    run(tool, _ANSWER, "--no-leader-only", "set-connection", *words)


def _answers(tool: str) -> bool:
    try:
        return holds(tool, _ANSWER, _ANY, "get-connection")
    except OvnhookError:  # it ends itself by a signal when nobody answers in time
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
