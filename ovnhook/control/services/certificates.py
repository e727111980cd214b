"""The service ``ovnhook.v1.Certificates``."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import certificates_pb2 as api
from ovnhook.api.v1 import certificates_pb2_grpc
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, InUse, InvalidRequest, NotFound
from ovnhook.control.pages import page
from ovnhook.control.roles import CHANGES, OWN, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.trust import Trust
from ovnhook.pki import members, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.members import IssuedToken, Members, bracketed
from ovnhook.pki.x509 import Subject

_log = logging.getLogger(__name__)

_PROBE = 1.0  # seconds that a control host may take to let us connect


class Certificates(Service):
    """Makes tokens and certificates, and takes them back.

    Args:
        trust: knows who is let in, or None where there is no authority.
        config: where hosts join.
    """

    NAME = "ovnhook.v1.Certificates"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "CreateToken": CHANGES,
        "IssueCertificate": CHANGES,
        "RenewCertificate": OWN,
        "ListCertificates": READS,
        "RevokeCertificate": CHANGES,
    }

    def __init__(self, trust: Trust | None, config: Config) -> None:
        self._trust = trust
        self._config = config

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.trust, found.config)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        certificates_pb2_grpc.add_CertificatesServicer_to_server(self, server)

    def CreateToken(self, request: api.CreateTokenRequest, deadline: Deadline) -> api.CreateTokenResponse:
        """Invite a host."""
        trust = self._authority()
        subject = Subject(request.name, request.role or x509.NODE)
        if subject.role not in (x509.NODE, x509.CONTROL):
            raise InvalidRequest(f"a token is for a node or a control host, not for a role '{subject.role}'")
        if not self._config.enrolment:
            raise InUse("this control service lets no host join: 'enrolment' is not set", "ovnhook node init --control")
        found = trust.look(deadline)
        now = int(time.time())
        port = self._config.enrolment.rpartition(":")[2]
        made = tokens.Token(
            name=subject.name,
            role=subject.role,
            servers=[f"{bracketed(where)}:{port}" for where in found.servers.values()],
            fingerprint=x509.fingerprint(trust.authority.certificate),
            secret=tokens.new_secret(),
        )
        invitation = IssuedToken(made.digest, subject, now + tokens.LIFETIME)
        # One is enough for a host, and the last one that was made is the one that its administrator has.
        trust.change(
            invitation.entry, deadline, lambda now: [one.digest for one in now.tokens if one.subject == subject]
        )
        _log.info("%s may join within %d minutes", subject, tokens.LIFETIME // 60)
        return api.CreateTokenResponse(token=str(made), lifetime=tokens.LIFETIME)

    def IssueCertificate(self, request: api.IssueCertificateRequest, deadline: Deadline) -> api.IssuedCertificate:
        """Let a person in; asked again with the same key, whoever has not heard the answer is given it again."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        if subject.role not in (x509.OPERATOR, x509.READER):
            raise InvalidRequest(
                f"a certificate is issued to an operator or a reader, not to a {subject.role}",
                "hosts join: ovnhook node token NAME",
            )
        known, wanted = trust.look(deadline), request.request.encode()
        mark = x509.request_key_id(wanted)

        def alone(found: Members) -> list[str]:
            if any(one.id != mark for one in found.by_subject(subject)):
                raise AlreadyExists(
                    f"{subject} has a certificate", f"ovnhook certificate revoke {subject.name} --role {subject.role}"
                )
            return []

        alone(known)
        anchors = [one.anchor for one in known.by_subject(subject)]
        anchor = anchors[0] if anchors else trust.authority.anchor(subject, mark)
        made = trust.authority.issue(wanted, subject, anchor)
        trust.change(members.entries_of(x509.name_of(anchor), anchor.decode(), made), deadline, alone)
        if not trust.members.by_certificate(made):
            raise InvalidRequest(f"this key of {subject} was revoked, for good", "ask with another key")
        _log.info("%s is let in", subject)
        return self._issued(trust, made)

    def RenewCertificate(
        self, request: api.RenewCertificateRequest, deadline: Deadline, caller: Subject
    ) -> api.IssuedCertificate:
        """Issue a certificate again, under the anchor that there is."""
        trust = self._authority()
        found = [one for one in trust.look(deadline).by_subject(caller) if one.anchor]
        if not found:
            raise NotFound(f"there is nothing to renew for {caller}", "a control host's: ovnhook node renew there")
        anchor = found[-1].anchor
        made = trust.authority.issue(request.request.encode(), caller, anchor)
        trust.change(members.entries_of(found[-1].key, anchor.decode(), made), deadline)
        _log.info("the certificate of %s is renewed", caller)
        return self._issued(trust, made)

    def ListCertificates(
        self, request: api.ListCertificatesRequest, deadline: Deadline
    ) -> api.ListCertificatesResponse:
        """Show who is let in, in pages."""
        found = self._authority().look(deadline)
        shown, token = page(
            found.all,
            lambda one: (one.subject.role, one.subject.name, one.key),
            request.page_size,
            request.page_token,
            lambda one: api.Certificate(
                role=one.subject.role, name=one.subject.name, expires=one.expires, address=one.address
            ),
        )
        return api.ListCertificatesResponse(certificates=shown, next_page_token=token)

    def RevokeCertificate(
        self, request: api.RevokeCertificateRequest, deadline: Deadline
    ) -> api.RevokeCertificateResponse:
        """Let somebody in no more."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        found = trust.look(deadline).by_subject(subject)
        if not found:
            raise NotFound(f"{subject} has no certificate", "ovnhook certificate list")
        trust.change({}, deadline, [one.id for one in found])
        _log.info("%s is let in no more", subject)
        return api.RevokeCertificateResponse()

    def is_trusted(self, name: str, deadline: Deadline) -> bool:
        """Whether a host is let in, as a node or as a control host; False where there is no authority."""
        return self._trust is not None and bool(_host(name, self._trust.look(deadline)))

    def refuse_alive(self, name: str, deadline: Deadline) -> None:
        """Refuse to shut a control host out that serves.

        Raises:
            InUse: it can be reached.
        """
        address = self._trust.look(deadline).servers.get(name) if self._trust else None
        if not address:
            return
        with (
            suppress(OSError),
            socket.create_connection((address, tokens.API), timeout=min(_PROBE, deadline.remaining)),
        ):
            raise InUse(
                f"control host {name} is there: its control service answers at {address}",
                f"to remove it anyway, on {name}: systemctl disable --now ovnhook-control",
            )

    def shut_out(self, name: str, deadline: Deadline) -> None:
        """Let a host in no more; nothing where there is no authority."""
        if self._trust is None:
            return
        while marks := _host(name, self._trust.look(deadline)):  # it may be joining just now
            self._trust.change({}, deadline, marks)

    def _authority(self) -> Trust:
        if self._trust is None:
            raise InUse("this control service has no certificate authority", "ovnhook node init --control")
        return self._trust

    def _issued(self, trust: Trust, certificate: bytes) -> api.IssuedCertificate:
        return api.IssuedCertificate(certificate=certificate.decode(), ca=trust.authority.certificate.decode())


def _host(name: str, found: Members) -> list[str]:
    """The marks of what a host is let in by, and would be."""
    hosts = [one.id for one in found.all if one.subject.name == name and one.subject.role in (x509.CONTROL, x509.NODE)]
    return [*hosts, *(one.digest for one in found.tokens if one.subject.name == name)]
