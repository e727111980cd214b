"""What the kernel of this host is to do with packets between control hosts, and whether it does.

ovnhook-fence.service loads the files that are written here. It is told of a change by systemd, which may miss one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ovnhook.pki import fence, ipsec, keyfiles
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Authority

_log = logging.getLogger(__name__)

_FIRST, _LAST = 15.0, 600.0  # seconds that the kernel may have something else before a file is written anew


class Packets:
    """Writes the files, and compares them with what was loaded.

    Args:
        files: of the authority.
        loaded: the directory with what the kernel has.
    """

    def __init__(self, files: AuthorityFiles, loaded: Path) -> None:
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
        others = ipsec.peers(found, own)
        rules = fence.rules([one.address for one in others], [one.address for one in others if not one.sends])
        self._wanted = {
            self._script: (ipsec.script(authority, own.address, others).encode(), keyfiles.SECRET),
            self._rules: (rules.encode(), keyfiles.PUBLIC),
        }
        for path, (text, mode) in self._wanted.items():
            if keyfiles.read(path) != text:
                keyfiles.write(path, text, mode)
                self._since, self._pause = None, _FIRST
        self._says = ipsec.says(own, others)
        self._is_alone = not others
        self._is_relied_on = any(found.accepts(own, one) for other in others for one in other.known)

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
