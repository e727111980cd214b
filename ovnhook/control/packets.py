"""What the kernel of this host is to do with packets between control hosts, and whether it does.

ovnhook-fence.service loads the files that are written here. It is told of a change by systemd, which may miss one.
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

_FIRST, _LAST = 15.0, 600.0  # seconds that the kernel may have something else before a file is written anew
_PATIENCE = 2.0  # seconds for an answer
_FAILURES = 3  # attempts after which it is no matter of time that authenticated packets don't pass


class Packets:
    """Writes the files, and compares them with what was loaded.

    Args:
        files: of the authority.
        loaded: the directory with what the kernel has.
        answers: whether a host, the second one, answers what the first one authenticates.
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
        self._says: list[str] = []
        self._is_alone = self._is_relied_on = False
        self._late = False
        self._pause = _FIRST
        self._since: float | None = None

    def write(self, authority: Authority, found: Members, own: Member) -> None:
        """Write what follows from who is let in.

        Args:
            authority: whose key the packets are authenticated with.
            found: all who are let in.
            own: this host.
        """
        self._passes &= set(found.servers.values())  # another host may come to the address of one that has gone
        others = ipsec.peers(found, own, self._passes)
        probed = [one for one in others if one.needs_probe]
        rules = fence.rules(
            [one.address for one in others],
            [one.address for one in others if not one.sends],
            [one.address for one in probed],
        )
        self._wanted = {
            self._script: (ipsec.script(authority, own.address, others).encode(), keyfiles.SECRET),
            self._rules: (rules.encode(), keyfiles.PUBLIC),
        }
        for path, (text, mode) in self._wanted.items():
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, mode)
                self._since, self._pause = None, _FIRST
        self._own, self._probed = own.address, probed  # last: `probe` looks whether that is loaded
        self._says = ipsec.announcements(own, others)
        self._is_alone = not others
        self._is_relied_on = any(found.accepts(own, one) for other in others for one in other.members)

    @property
    def said(self) -> list[str]:
        """What this host tells the others by now, as keys of entries."""
        return self._says if self._is_loaded(self._script) else []

    @property
    def is_missing(self) -> bool:
        """Whether the kernel has had something else for a while than it is to have.

        A host that has never authenticated anything is known by its address, and not cut off.
        """
        needed = [self._rules, *([self._script] if self._is_relied_on else [])]
        return self._late and not all(map(self._is_loaded, needed))

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The names of control hosts that accept what this host authenticates, and don't answer it."""
        late = [one for one in self._probed if self._failures[one.address] >= _FAILURES]
        return tuple(sorted({known.subject.name for one in late for known in one.members}))

    def probe(self) -> bool:
        """See whether authenticated packets pass to hosts of which nobody knows; whether there is news to be written.

        Only then does a host authenticate all that it sends: a firewall that drops them cuts nobody off.
        """
        probed = self._probed  # first: another thread may write meanwhile
        if not all(map(self._is_loaded, self._wanted)):
            return False  # an answer would prove nothing
        passes = {one.address for one in probed if self._answers(self._own, one.address)}
        self._failures.update(one.address for one in probed if one.address not in passes)
        self._passes |= passes
        return bool(passes)

    def look(self, now: float) -> None:
        """Write what the kernel doesn't have anew, so that it is loaded: at longer and longer intervals.

        Args:
            now: seconds of a clock that is not set.
        """
        missing = [path for path in self._wanted if not self._is_loaded(path)]
        if self._is_alone or not missing:  # a host that is no member of a cluster loads nothing
            self._since, self._pause, self._late = None, _FIRST, False
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._pause:
            if not self._late:
                _log.warning(
                    "the kernel has not loaded %s: systemctl status ovnhook-fence", ", ".join(map(str, missing))
                )
            self._since, self._pause, self._late = now, min(2 * self._pause, _LAST), True
            keyfiles.write(missing[0], *self._wanted[missing[0]])

    def _is_loaded(self, path: Path) -> bool:
        return path in self._wanted and keyfiles.read(self._copies[path]) == self._wanted[path][0]


def answers(own: str, other: str) -> bool:
    """Whether a control host answers this one where both have to authenticate what they send (ovnhook.pki.ipsec).

    Args:
        own: the address of this host.
        other: the address of the other one.
    """
    with socket.socket(socket.AF_INET6 if ":" in other else socket.AF_INET) as client:
        client.settimeout(_PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Reset at its end: the port is free again at once.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            client.bind((own, fence.PROBE))
            client.connect((other, fence.NORTHBOUND_RAFT))
        except OSError:
            return False
        return True
