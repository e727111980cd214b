"""Who is let in, as values and as the entries that they are kept as. Pure.

An entry is a key and a value: ``node hv1 5f3a9c21`` with the anchor of that node (decision 11), ``control c1``
with an address, ``until`` one of these with when its certificate ends, ``accepts`` and ``sends`` with the last word of
another control host's entry before those of one's own, ``token``, and ``gone`` with the last word of an
entry that is nobody's any more. Whoever may write to the database could write entries, so each has a seal that only the
authority can make; and what is gone stays gone, whoever brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ovnhook.base.errors import InvalidRequest
from ovnhook.pki import x509
from ovnhook.pki.x509 import Authority, Subject

_TOKEN, _UNTIL, _GONE = "token", "until", "gone"
_ACCEPTS, _SENDS = "accepts", "sends"


@dataclass(frozen=True)
class Invitation:
    """A token that was given out.

    Attributes:
        digest: of its secret.
        subject: whom it lets in.
        expires: seconds since 1970.
    """

    digest: str
    subject: Subject
    expires: int

    @property
    def entry(self) -> dict[str, str]:
        """It as it is kept, without its seal."""
        return {f"{_TOKEN} {self.digest}": f"{self.subject} {self.expires}"}


@dataclass(frozen=True)
class Member:
    """Somebody who is let in.

    Attributes:
        key: of the entry; of those who have an anchor it is the anchor's name.
        subject: who it is.
        anchor: by what a client is trusted, in PEM, or nothing for a control host.
        address: of a control host, or "".
        ends: when the certificate ends that he was given last, in seconds since 1970, or 0 where nobody knows.
    """

    key: str
    subject: Subject
    anchor: bytes = b""
    address: str = ""
    ends: int = 0

    @property
    def mark(self) -> str:
        """The word that says, once it is gone, that this one is let in no more."""
        return _mark(self.key)


@dataclass(frozen=True)
class Members:
    """All who are let in, and all tokens that were not used yet."""

    found: tuple[Member, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    said: frozenset[str] = frozenset()
    """The keys of what control hosts have said of packets that are authenticated."""
    servers: Mapping[str, str] = field(init=False)
    """The addresses of the control hosts, by name."""

    def __post_init__(self) -> None:
        """Find the control hosts among them."""
        object.__setattr__(self, "servers", {one.subject.name: one.address for one in self.found if one.address})

    def accepts(self, one: Member, other: Member) -> bool:
        """Whether a control host has said that it accepts packets that another one has authenticated."""
        return accepts(one, other) in self.said

    def sends(self, one: Member, other: Member) -> bool:
        """Whether a control host has said that it authenticates all that it sends to another one."""
        return sends(one, other) in self.said

    def named(self, *subjects: Subject) -> list[Member]:
        """Those of some names, in these roles: somebody who has joined twice at the same time is there twice."""
        return [one for one in self.found if one.subject in subjects]

    def bundle(self, authority: bytes, roles: Iterable[str]) -> bytes:
        """The CA file of a server that control hosts and these roles may connect to."""
        allowed = set(roles)
        return b"".join((authority, *(one.anchor for one in self.found if one.subject.role in allowed)))

    def of(self, certificate: bytes) -> Member | None:
        """Whose a certificate is that a server has let in, by what was known then; nobody's if it is good no more."""
        subject, issuer = x509.subject_of(certificate), x509.issuer_of(certificate)
        for one in self.found:
            if one.subject == subject and (one.key == issuer if one.anchor else subject.role == x509.CONTROL):
                return one
        return None


def sealed(authority: Authority, entries: Mapping[str, str]) -> dict[str, str]:
    """Entries with the authority's seal behind the value of each."""
    return {key: f"{value} {authority.seal(key, value)}" for key, value in entries.items()}


def genuine(authority: Authority, entries: Mapping[str, str]) -> dict[str, str]:
    """Those entries whose seal is the authority's, as they are; a key with control characters is none of ours."""
    found = {}
    for key, value in entries.items():
        text, _, seal = value.rpartition(" ")
        if key.isprintable() and authority.is_seal(seal, key, text):
            found[key] = value
    return found


def text_of(value: str) -> str:
    """The value of an entry without its seal."""
    return value.rpartition(" ")[0]


def merged(*ledgers: Mapping[str, str], now: float) -> dict[str, str]:
    """All entries of some ledgers, without those that are gone and tokens whose time is over.

    What others have said of one that is gone stays: control hosts of an earlier version would put it back again and
    again. `read` passes over it.

    Args:
        ledgers: of entries with seals; where two have a key the later one is right.
        now: seconds since 1970.
    """
    entries = {key: value for ledger in ledgers for key, value in ledger.items()}
    gone = {_mark(key) for key in entries if key.startswith(f"{_GONE} ")}

    def stays(key: str, value: str) -> bool:
        kind = key.partition(" ")[0]
        if kind == _TOKEN and int(value.split(" ")[2]) < now:
            return False
        return kind == _GONE or _mark(key) not in gone

    return {key: value for key, value in entries.items() if stays(key, value)}


def accepts(one: Member, other: Member) -> str:
    """The key of the entry that says that a control host accepts packets that another one has authenticated.

    What an entry says is said for good, by its being there: of one that changes, whoever may write to the database
    could bring back what it said before.
    """
    return f"{_ACCEPTS} {other.mark} {one.key}"


def sends(one: Member, other: Member) -> str:
    """The key of the entry that says that a control host authenticates all that it sends to another one."""
    return f"{_SENDS} {other.mark} {one.key}"


def read(entries: Mapping[str, str]) -> Members:
    """The members that entries, with good seals, are kept of."""
    found: list[Member] = []
    invitations: list[Invitation] = []
    for key, value in sorted(entries.items()):
        kind, *words = key.split(" ")
        text = text_of(value)
        try:
            if kind == _TOKEN:
                role, name, expires = text.split(" ")
                invitations.append(Invitation(words[0], Subject(name, role), int(expires)))
            elif kind in x509.ROLES:
                ends = int(entries.get(f"{_UNTIL} {key}", "0 ").split(" ")[0])
                address, anchor = (str(x509.plain_address(text)), b"") if kind == x509.CONTROL else ("", text.encode())
                found.append(Member(key, Subject(words[0], kind), anchor, address, ends))
        except (InvalidRequest, ValueError, IndexError):  # of another version of us, or no address
            continue
    said = frozenset(
        key
        for key in entries
        if key.startswith((f"{_ACCEPTS} ", f"{_SENDS} ")) and f"{_GONE} {key.split(' ')[1]}" not in entries
    )
    return Members(tuple(found), tuple(invitations), said)


def entries_of(key: str, value: str, certificate: bytes) -> dict[str, str]:
    """What is kept of somebody, without seals.

    Args:
        key: that of a Member.
        value: its anchor in PEM, or its address.
        certificate: that it was given, in PEM.
    """
    return {key: value, f"{_UNTIL} {key}": str(int(x509.expires(certificate).timestamp()))}


def gone(marks: Iterable[str]) -> dict[str, str]:
    """That some are nobody's any more, without seals: the last words of their keys."""
    return {f"{_GONE} {mark}": "-" for mark in marks}


def _mark(key: str) -> str:
    return key.rpartition(" ")[2]


def bracketed(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address
