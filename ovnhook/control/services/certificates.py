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
from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound
from ovnhook.control.pages import page
from ovnhook.control.roles import CHANGES, OWN, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.trust import Trust
from ovnhook.pki import members, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.members import IssuedToken, Members, bracketed
from ovnhook.pki.x509 import Subject

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 1.0  # seconds


class Certificates(Service):
    """Creates join tokens, and issues, renews and revokes certificates.

    Args:
        trust: trusted clients, or None without a certificate authority.
        config: configuration with the address where hosts join.
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
        """Create a join token, which replaces the host's previous one."""
        trust = self._authority()
        subject = Subject(request.name, request.role or x509.NODE)
        if subject.role not in (x509.NODE, x509.CONTROL):
            raise InvalidRequest(f"no join tokens for role '{subject.role}', only for node and control")
        if not self._config.enrolment:
            raise FailedPrecondition(
                "hosts cannot join this cloud: 'enrolment' is not set", "ovnhook node init --control"
            )
        found = trust.update(deadline)
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
        # One per host: its administrator has the one that was created last.
        trust.change(
            invitation.entry, deadline, lambda now: [one.digest for one in now.tokens if one.subject == subject]
        )
        _log.info("join token for %s created, valid for %d minutes", subject, tokens.LIFETIME // 60)
        return api.CreateTokenResponse(token=str(made), lifetime=tokens.LIFETIME)

    def IssueCertificate(self, request: api.IssueCertificateRequest, deadline: Deadline) -> api.IssuedCertificate:
        """Issue a certificate to a person; idempotent for the same key, so that a lost response can be retried."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        if subject.role not in (x509.OPERATOR, x509.READER):
            raise InvalidRequest(
                f"certificates are issued to operators and readers, not to role '{subject.role}'",
                "hosts join with a token: ovnhook node token NAME",
            )
        known, wanted = trust.update(deadline), request.request.encode()
        key_id = x509.request_key_id(wanted)

        def check_unique(found: Members) -> list[str]:
            if any(one.id != key_id for one in found.by_subject(subject)):
                raise AlreadyExists(
                    f"{subject} has a certificate", f"ovnhook certificate revoke {subject.name} --role {subject.role}"
                )
            return []

        check_unique(known)
        anchors = [one.anchor for one in known.by_subject(subject)]
        anchor = anchors[0] if anchors else trust.authority.anchor(subject, key_id)
        made = trust.authority.issue(wanted, subject, anchor)
        trust.change(members.entries_of(x509.name_of(anchor), anchor.decode(), made), deadline, check_unique)
        if not trust.members.by_certificate(made):
            raise InvalidRequest(f"this key of {subject} was revoked", "create another key")
        _log.info("certificate of %s issued", subject)
        return self._issued(trust, made)

    def RenewCertificate(
        self, request: api.RenewCertificateRequest, deadline: Deadline, caller: Subject
    ) -> api.IssuedCertificate:
        """Renew a certificate under its existing trust anchor."""
        trust = self._authority()
        found = [one for one in trust.update(deadline).by_subject(caller) if one.anchor]
        if not found:
            raise NotFound(f"{caller} has no certificate to renew", "on a control host: ovnhook node renew")
        anchor = found[-1].anchor
        made = trust.authority.issue(request.request.encode(), caller, anchor)
        trust.change(members.entries_of(found[-1].key, anchor.decode(), made), deadline)
        _log.info("certificate of %s renewed", caller)
        return self._issued(trust, made)

    def ListCertificates(
        self, request: api.ListCertificatesRequest, deadline: Deadline
    ) -> api.ListCertificatesResponse:
        """List the trusted clients and hosts."""
        found = self._authority().update(deadline)
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
        """Revoke a certificate."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        found = trust.update(deadline).by_subject(subject)
        if not found:
            raise NotFound(f"{subject} has no certificate", "ovnhook certificate list")
        trust.change({}, deadline, [one.id for one in found])
        _log.info("certificate of %s revoked", subject)
        return api.RevokeCertificateResponse()

    def is_trusted(self, name: str, deadline: Deadline) -> bool:
        """True if a host is trusted, as node or control host; False without a certificate authority."""
        return self._trust is not None and bool(_ids_of_host(name, self._trust.update(deadline)))

    def refuse_running(self, name: str, deadline: Deadline) -> None:
        """Refuse to revoke a control host whose control service runs.

        Raises:
            FailedPrecondition: it is reachable.
        """
        address = self._trust.update(deadline).servers.get(name) if self._trust else None
        if not address:
            return
        with (
            suppress(OSError),
            socket.create_connection((address, tokens.API), timeout=min(_CONNECT_TIMEOUT, deadline.remaining)),
        ):
            raise FailedPrecondition(
                f"control host {name} is running: its control service answers at {address}",
                f"to remove it anyway, on {name}: systemctl disable --now ovnhook-control",
            )

    def revoke_host(self, name: str, deadline: Deadline) -> None:
        """Revoke a host's certificates and join tokens, if there is a certificate authority."""
        if self._trust is None:
            return
        while ids := _ids_of_host(name, self._trust.update(deadline)):  # it may be joining at this moment
            self._trust.change({}, deadline, ids)

    def _authority(self) -> Trust:
        if self._trust is None:
            raise FailedPrecondition("no certificate authority", "ovnhook node init --control")
        return self._trust

    def _issued(self, trust: Trust, certificate: bytes) -> api.IssuedCertificate:
        return api.IssuedCertificate(certificate=certificate.decode(), ca=trust.authority.certificate.decode())


def _ids_of_host(name: str, found: Members) -> list[str]:
    """IDs of a host's certificates and join tokens, by which they are revoked."""
    hosts = [one.id for one in found.all if one.subject.name == name and one.subject.role in (x509.CONTROL, x509.NODE)]
    return [*hosts, *(one.digest for one in found.tokens if one.subject.name == name)]
