"""Who is let in, as values and as the pairs that they are kept as. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ovnhook import pki
from ovnhook.errors import InvalidRequest
from ovnhook.pki import Subject

_TOKEN = "token"  # noqa: S105 - the word, and no secret
_UNTIL = "until"


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
    def pair(self) -> dict[str, str]:
        """It as it is kept."""
        return {f"{_TOKEN} {self.digest}": f"{self.subject} {self.expires}"}


@dataclass(frozen=True)
class Members:
    """All who are let in.

    Attributes:
        servers: the addresses of the control hosts, by name.
        anchors: by what each other one is trusted, in PEM.
        ends: when the certificate that each was given last ends, in seconds since 1970.
        invitations: tokens that were not used yet.
    """

    servers: Mapping[str, str] = field(default_factory=dict)
    anchors: Mapping[Subject, bytes] = field(default_factory=dict)
    ends: Mapping[Subject, int] = field(default_factory=dict)
    invitations: tuple[Invitation, ...] = ()

    @property
    def subjects(self) -> list[Subject]:
        """All of them."""
        return [*(Subject(name, pki.CONTROL) for name in self.servers), *self.anchors]

    def bundle(self, authority: bytes, roles: Iterable[str]) -> bytes:
        """The CA file of a server that control hosts and these roles may connect to."""
        allowed = set(roles)
        anchors = (text for subject, text in sorted(self.anchors.items(), key=str) if subject.role in allowed)
        return b"".join((authority, *anchors))

    def trusts(self, certificate: bytes) -> bool:
        """Whether a certificate that a server has let in, by what was known then, is still good."""
        subject = pki.subject_of(certificate)
        if subject.role == pki.CONTROL:
            return subject.name in self.servers
        anchor = self.anchors.get(subject)
        return anchor is not None and pki.is_under(certificate, anchor)


def of(pairs: Mapping[str, str], authority: pki.Authority) -> Members:
    """The members that pairs are kept of; what the authority has not signed, or is none, is nobody's."""
    servers: dict[str, str] = {}
    anchors: dict[Subject, bytes] = {}
    ends: dict[Subject, int] = {}
    invitations: list[Invitation] = []
    for who, value in pairs.items():
        kind, _, name = who.partition(" ")
        try:
            if kind == _TOKEN:
                role, whom, expires = value.split(" ")
                invitations.append(Invitation(name, Subject(whom, role), int(expires)))
            elif kind == _UNTIL:
                role, _, whom = name.partition(" ")
                ends[Subject(whom, role)] = int(value)
            elif kind == pki.CONTROL:
                servers[Subject(name, kind).name] = value
            elif authority.is_own(value.encode()):
                anchors[Subject(name, kind)] = value.encode()
        except (InvalidRequest, ValueError):
            continue
    return Members(servers, anchors, ends, tuple(invitations))


def pairs(subject: Subject, value: str, certificate: bytes) -> dict[str, str]:
    """What is kept of somebody.

    Args:
        subject: who it is.
        value: the anchor, in PEM; of a control host, its address.
        certificate: that it was given, in PEM.
    """
    return {str(subject): value, f"{_UNTIL} {subject}": str(int(pki.expires(certificate).timestamp()))}


def keys(subject: Subject) -> list[str]:
    """The keys of what is kept of somebody."""
    return [str(subject), f"{_UNTIL} {subject}"]


def bracketed(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address
