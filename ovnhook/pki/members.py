"""Trusted clients and hosts, and how they are stored. Pure.

Each is a pair of strings, an entry: ``node hv1 5f3a9c21`` with the trust anchor of that node (decision 11), ``control
c1 5f3a9c22`` with its address, ``until`` such a key with the expiry of its certificate, ``accepts`` and ``sends`` with
the ID of a peer and the announcing host's key, ``token`` with the digest of its secret, ``gone`` with the ID of a
revoked entry, and ``closed northbound`` when nodes have no access to that database any more. IDs are the last word of a
key. Everybody who can write to the database could add entries, so each is sealed with the authority's key, and a
revocation is final.

Example::

    trusted = read(verified(authority, row))
    ca_file = trusted.bundle(authority.certificate, [x509.NODE])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ovnhook.base.errors import InvalidRequest
from ovnhook.pki import x509
from ovnhook.pki.x509 import Authority, Subject

_TOKEN, _UNTIL, _REVOKED = "token", "until", "gone"
_ACCEPTS, _SENDS = "accepts", "sends"
_CLOSED = "closed northbound"

CLOSING = {_CLOSED: "-"}
"""Entry that withdraws nodes' access to the northbound database. Final, like a revocation."""


@dataclass(frozen=True)
class IssuedToken:
    """A join token that was issued and not used yet.

    Attributes:
        digest: SHA-256 of its secret.
        subject: subject of the certificate that it is exchanged for.
        expires: expiry, in seconds since 1970.
    """

    digest: str
    subject: Subject
    expires: int

    @property
    def entry(self) -> dict[str, str]:
        """Entry without its seal."""
        return {f"{_TOKEN} {self.digest}": f"{self.subject} {self.expires}"}


@dataclass(frozen=True)
class Member:
    """A trusted client or control host.

    Attributes:
        key: key of its entry, which is also the name of its anchor, if any.
        subject: subject of its certificates.
        anchor: trust anchor in PEM; empty for a control host.
        address: address of a control host, or "".
        expires: expiry of its latest certificate, in seconds since 1970, or 0 if unknown.
    """

    key: str
    subject: Subject
    anchor: bytes = b""
    address: str = ""
    expires: int = 0

    @property
    def id(self) -> str:
        """ID by which it is revoked."""
        return _id(self.key)


@dataclass(frozen=True)
class Members:
    """Trusted clients and hosts, and unused join tokens.

    Attributes:
        all: every client and control host.
        tokens: join tokens that can still be used.
        announced: keys of what control hosts have announced about authenticated packets.
        is_closed: nodes have no access to the northbound database.
        servers: addresses of the control hosts, by name.
    """

    all: tuple[Member, ...] = ()
    tokens: tuple[IssuedToken, ...] = ()
    announced: frozenset[str] = frozenset()
    is_closed: bool = False
    servers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Index the control hosts."""
        object.__setattr__(self, "servers", {one.subject.name: one.address for one in self.all if one.address})

    def accepts(self, one: Member, other: Member) -> bool:
        """True if a control host has announced that it accepts another one's authenticated packets."""
        return accepts(one, other) in self.announced

    def sends(self, one: Member, other: Member) -> bool:
        """True if a control host has announced that it authenticates everything that it sends to another one."""
        return sends(one, other) in self.announced

    def by_subject(self, *subjects: Subject) -> list[Member]:
        """Members with one of these subjects; a host that has joined twice at the same time is there twice."""
        return [one for one in self.all if one.subject in subjects]

    @property
    def northbound_roles(self) -> tuple[str, ...]:
        """Roles of clients that have access to the northbound database, besides control hosts."""
        return () if self.is_closed else (x509.NODE,)

    def bundle(self, authority: bytes, roles: Iterable[str]) -> bytes:
        """CA file of a server that accepts control hosts and clients with these roles."""
        allowed = set(roles)
        return b"".join((authority, *(one.anchor for one in self.all if one.subject.role in allowed)))

    def by_certificate(self, certificate: bytes) -> Member | None:
        """Owner of a certificate that passed the TLS handshake; None if it has been revoked or replaced since."""
        subject, issuer = x509.subject_of(certificate), x509.issuer_of(certificate)
        for one in self.all:
            if one.subject == subject and (one.key == issuer if one.anchor else subject.role == x509.CONTROL):
                return one
        return None


def sealed(authority: Authority, entries: Mapping[str, str]) -> dict[str, str]:
    """Append the authority's seal to the value of each entry."""
    return {key: f"{value} {authority.seal(key, value)}" for key, value in entries.items()}


def verified(authority: Authority, entries: Mapping[str, str]) -> dict[str, str]:
    """Entries with a valid seal of the authority. A key with control characters is never valid."""
    found = {}
    for key, value in entries.items():
        text, _, seal = value.rpartition(" ")
        if key.isprintable() and authority.verify_seal(seal, key, text):
            found[key] = value
    return found


def text_of(value: str) -> str:
    """Value of an entry without its seal."""
    return value.rpartition(" ")[0]


def merged(*ledgers: Mapping[str, str], now: float) -> dict[str, str]:
    """Merge ledgers, without revoked entries and expired tokens.

    Announcements about a revoked host are kept, since control hosts of an earlier version would add them again and
    again; `read` ignores them.

    Args:
        ledgers: sealed entries; of two with the same key the later one wins.
        now: seconds since 1970.
    """
    entries = {key: value for ledger in ledgers for key, value in ledger.items()}
    revoked = {_id(key) for key in entries if key.startswith(f"{_REVOKED} ")}

    def stays(key: str, value: str) -> bool:
        kind = key.partition(" ")[0]
        if kind == _TOKEN and int(value.split(" ")[2]) < now:
            return False
        return kind == _REVOKED or _id(key) not in revoked

    return {key: value for key, value in entries.items() if stays(key, value)}


def accepts(one: Member, other: Member) -> str:
    """Key of the entry by which a control host announces that it accepts another one's authenticated packets.

    The existence of the entry is the announcement, so it is final: an old value could be replayed by everybody who can
    write to the database.
    """
    return f"{_ACCEPTS} {other.id} {one.key}"


def sends(one: Member, other: Member) -> str:
    """Key of the entry by which a control host announces that it authenticates everything sent to another one."""
    return f"{_SENDS} {other.id} {one.key}"


def read(entries: Mapping[str, str]) -> Members:
    """Parse entries with valid seals."""
    found: list[Member] = []
    tokens: list[IssuedToken] = []
    for key, value in sorted(entries.items()):
        kind, *words = key.split(" ")
        text = text_of(value)
        try:
            if kind == _TOKEN:
                role, name, expires = text.split(" ")
                tokens.append(IssuedToken(words[0], Subject(name, role), int(expires)))
            elif kind in x509.ROLES:
                expiry = int(entries.get(f"{_UNTIL} {key}", "0 ").split(" ")[0])
                address, anchor = (str(x509.plain_address(text)), b"") if kind == x509.CONTROL else ("", text.encode())
                found.append(Member(key, Subject(words[0], kind), anchor, address, expiry))
        except (InvalidRequest, ValueError, IndexError):  # written by another version, or not an address
            continue
    announced = frozenset(
        key
        for key in entries
        if key.startswith((f"{_ACCEPTS} ", f"{_SENDS} ")) and f"{_REVOKED} {key.split(' ')[1]}" not in entries
    )
    return Members(tuple(found), tuple(tokens), announced, _CLOSED in entries)


def entries_of(key: str, value: str, certificate: bytes) -> dict[str, str]:
    """Entries of a member, without seals.

    Args:
        key: key of the Member.
        value: its anchor in PEM, or its address.
        certificate: its latest certificate, in PEM.
    """
    return {key: value, f"{_UNTIL} {key}": str(int(x509.expires(certificate).timestamp()))}


def revocations(ids: Iterable[str]) -> dict[str, str]:
    """Entries that revoke members and tokens by ID, without seals."""
    return {f"{_REVOKED} {one}": "-" for one in ids}


def _id(key: str) -> str:
    return key.rpartition(" ")[2]


def bracketed(address: str) -> str:
    """Address as written before a port: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
