"""Firewall rules and packet authentication between control hosts: files for the kernel, and what it has loaded.

ovnhook-fence.service loads the files. systemd starts it when they change (ovnhook-fence.path), and may miss a change.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ovnhook.pki import fence, ipsec, keyfiles
from ovnhook.pki.ipsec import Peer
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Authority

_log = logging.getLogger(__name__)

_MIN_BACKOFF, _MAX_BACKOFF = 15.0, 600.0  # seconds until a file that is not loaded is written again
_TIMEOUT = 2.0  # seconds for an answer to the probe
_MAX_FAILURES = 3  # consecutive failures of the probe that are not reported


class Packets:
    """Writes the files, and compares them with the loaded ones.

    Args:
        files: files of the certificate authority.
        loaded: directory with copies of the loaded files.
        answers: probes packet authentication from one control host's address to another's.
    """

    def __init__(self, files: AuthorityFiles, loaded: Path, answers: Callable[[str, str], bool]) -> None:
        self._answers = answers
        self._own = ""
        self._probed: list[Peer] = []
        self._passes: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._rules, self._script = files.fence, files.ipsec
        self._copies = {files.fence: loaded / "loaded.nft", files.ipsec: loaded / "loaded.ipsec"}
        self._wanted: dict[Path, tuple[bytes, int]] = {}
        self._announcements: list[str] = []
        self._is_alone = self._is_relied_on = False
        self._is_overdue = False
        self._backoff = _MIN_BACKOFF
        self._unloaded_since: float | None = None

    def write(self, authority: Authority, found: Members, own: Member) -> None:
        """Write the files for the present control hosts.

        Args:
            authority: certificate authority, whose key authenticates packets.
            found: trusted clients and hosts.
            own: this host.
        """
        self._passes &= set(found.servers.values())  # the address of a removed host may be reused
        others = ipsec.peers(found, own, self._passes)
        probed = [one for one in others if one.needs_probe]
        rules = fence.rules(
            [one.address for one in others],
            [one.address for one in others if not one.sends],
            [one.address for one in probed],
            is_closed=found.is_closed,
        )
        self._wanted = {
            self._script: (ipsec.script(authority, own.address, others).encode(), keyfiles.SECRET),
            self._rules: (rules.encode(), keyfiles.PUBLIC),
        }
        for path, (text, mode) in self._wanted.items():
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, mode)
                self._unloaded_since, self._backoff = None, _MIN_BACKOFF
        self._own, self._probed = own.address, probed  # last: `probe` checks that the files are loaded
        self._announcements = ipsec.announcements(own, others)
        self._is_alone = not others
        self._is_relied_on = any(found.accepts(own, one) for other in others for one in other.members)

    @property
    def announced(self) -> list[str]:
        """Keys of the entries that this host announces, once its script is loaded."""
        return self._announcements if self._is_loaded(self._script) else []

    @property
    def is_missing(self) -> bool:
        """True if the kernel has not loaded the files for a while.

        The script counts only if this host has announced packet authentication; else others identify it by address.
        """
        needed = [self._rules, *([self._script] if self._is_relied_on else [])]
        return self._is_overdue and not all(map(self._is_loaded, needed))

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Names of control hosts that have announced packet authentication, but do not answer the probe."""
        failed = [one for one in self._probed if self._failures[one.address] >= _MAX_FAILURES]
        return tuple(sorted({known.subject.name for one in failed for known in one.members}))

    def probe(self) -> bool:
        """Probe hosts with which packet authentication is not verified yet; return True if it is with one now.

        A host authenticates all packets only after that, so a firewall that drops them interrupts nothing.
        """
        probed = self._probed  # first: another thread may write meanwhile
        if not all(map(self._is_loaded, self._wanted)):
            return False  # packets would not be authenticated
        passes = {one.address for one in probed if self._answers(self._own, one.address)}
        self._failures.update(one.address for one in probed if one.address not in passes)
        self._passes |= passes
        return bool(passes)

    def rewrite_unloaded(self, now: float) -> None:
        """Write a file that is not loaded again, so that systemd loads it; with exponential backoff.

        Args:
            now: monotonic time in seconds.
        """
        missing = [path for path in self._wanted if not self._is_loaded(path)]
        if self._is_alone or not missing:  # without a cluster nothing is loaded
            self._unloaded_since, self._backoff, self._is_overdue = None, _MIN_BACKOFF, False
        elif self._unloaded_since is None:
            self._unloaded_since = now
        elif now - self._unloaded_since >= self._backoff:
            if not self._is_overdue:
                _log.warning(
                    "the kernel has not loaded %s: systemctl status ovnhook-fence", ", ".join(map(str, missing))
                )
            self._unloaded_since, self._is_overdue = now, True
            self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
            keyfiles.write(missing[0], *self._wanted[missing[0]])

    def _is_loaded(self, path: Path) -> bool:
        return path in self._wanted and keyfiles.read(self._copies[path]) == self._wanted[path][0]


def answers(own: str, other: str) -> bool:
    """Probe packet authentication with another control host (ovnhook.pki.ipsec); True if it answers.

    Args:
        own: address of this host.
        other: address of the other host.
    """
    with socket.socket(socket.AF_INET6 if ":" in other else socket.AF_INET) as client:
        client.settimeout(_TIMEOUT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Close with a reset, so that the port can be reused at once.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            client.bind((own, fence.PROBE))
            client.connect((other, fence.NORTHBOUND_RAFT))
        except OSError:
            return False
        return True
