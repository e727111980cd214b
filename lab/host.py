"""A host of the lab: its namespaces, and the daemons that run in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.daemon import Daemon, Ready
from lab.errors import LabError
from lab.namespaces import Namespaces


class LabHost(Namespaces):
    """One host: run commands on it, start daemons on it."""

    def __init__(self, prefix: str, name: str) -> None:
        super().__init__(prefix, name)
        self.daemons: dict[str, Daemon] = {}

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: Ready | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Daemon:
        """Start a command in the background; its output is in the ``.log``, and it ends with the lab at the latest."""
        return Daemon(self, name, argv, ready=ready, environment=environment).start()

    def daemon(self, name: str) -> Daemon:
        """One of its daemons."""
        if name not in self.daemons:
            known = ", ".join(self.daemons) or "none"
            raise LabError(f"{self.name} has no daemon {name!r} (it has: {known})")
        return self.daemons[name]
