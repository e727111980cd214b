"""The service ``ovnhook.v1.Certificates``."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import suppress

from ovnhook import members, pki
from ovnhook import token as tokens
from ovnhook.api.v1 import ovnhook_pb2 as api
from ovnhook.config import Config
from ovnhook.control.pages import page
from ovnhook.control.trust import Trust
from ovnhook.deadline import Deadline
from ovnhook.errors import AlreadyExists, InUse, InvalidRequest, NotFound
from ovnhook.members import Invitation, Members, bracketed
from ovnhook.ovsdb.trust import Trust as Row
from ovnhook.pki import Subject

_log = logging.getLogger(__name__)

_PROBE = 1.0  # seconds that a control host may take to let us connect


class Certificates:
    """Makes tokens and certificates, and takes them back.

    Args:
        row: where it is known who is let in.
        trust: the same on this host, or None where there is no authority.
        config: where hosts join.
    """

    def __init__(self, row: Row, trust: Trust | None, config: Config) -> None:
        self._row = row
        self._trust = trust
        self._config = config

    def CreateToken(self, request: api.CreateTokenRequest, deadline: Deadline) -> api.CreateTokenResponse:
        """Invite a host."""
        trust = self._authority()
        subject = Subject(request.name, request.role or pki.NODE)
        if subject.role not in (pki.NODE, pki.CONTROL):
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
            fingerprint=pki.fingerprint(trust.authority.certificate),
            secret=tokens.new_secret(),
        )
        invitation = Invitation(made.digest, subject, now + tokens.LIFETIME)
        # One is enough for a host, and the last one that was made is the one that its administrator has.
        gone = [one for one in found.invitations if one.subject == subject or one.expires < now]
        self._row.change(invitation.pair, deadline, drop=[key for one in gone for key in one.pair])
        _log.info("%s may join within %d minutes", subject, tokens.LIFETIME // 60)
        return api.CreateTokenResponse(token=str(made), lifetime=tokens.LIFETIME)

    def IssueCertificate(self, request: api.IssueCertificateRequest, deadline: Deadline) -> api.IssuedCertificate:
        """Let a person in."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        if subject.role not in (pki.OPERATOR, pki.READER):
            raise InvalidRequest(
                f"a certificate is issued to an operator or a reader, not to a {subject.role}",
                "hosts join: ovnhook node token NAME",
            )
        if subject in trust.look(deadline).anchors:
            raise AlreadyExists(
                f"{subject} has a certificate", f"ovnhook certificate revoke {subject.name} --role {subject.role}"
            )
        anchor = trust.authority.anchor(subject)
        made = trust.authority.issue(request.request.encode(), subject, anchor)
        self._row.change(members.pairs(subject, anchor.decode(), made), deadline)
        trust.look(deadline)
        _log.info("%s is let in", subject)
        return self._issued(trust, made)

    def RenewCertificate(
        self, request: api.RenewCertificateRequest, deadline: Deadline, caller: Subject
    ) -> api.IssuedCertificate:
        """Issue a certificate again, under the anchor that there is."""
        trust = self._authority()
        anchor = trust.look(deadline).anchors.get(caller)
        if anchor is None:
            raise NotFound(f"there is nothing to renew for {caller}", "a control host's: ovnhook node renew there")
        made = trust.authority.issue(request.request.encode(), caller, anchor)
        pair = {str(caller): anchor.decode()}
        self._row.change(members.pairs(caller, anchor.decode(), made), deadline, needs=pair)
        _log.info("the certificate of %s is renewed", caller)
        return self._issued(trust, made)

    def ListCertificates(
        self, request: api.ListCertificatesRequest, deadline: Deadline
    ) -> api.ListCertificatesResponse:
        """Show who is let in, in pages."""
        found = self._authority().look(deadline)
        shown, token = page(found.subjects, lambda one: (one.role, one.name), request.page_size, request.page_token)
        rows = [
            api.Certificate(
                role=one.role,
                name=one.name,
                expires=found.ends.get(one, 0),
                address=found.servers.get(one.name, "") if one.role == pki.CONTROL else "",
            )
            for one in shown
        ]
        return api.ListCertificatesResponse(certificates=rows, next_page_token=token)

    def RevokeCertificate(
        self, request: api.RevokeCertificateRequest, deadline: Deadline
    ) -> api.RevokeCertificateResponse:
        """Let somebody in no more."""
        trust = self._authority()
        subject = Subject(request.name, request.role)
        if subject not in trust.look(deadline).anchors:
            raise NotFound(f"{subject} has no certificate", "ovnhook certificate list")
        self._row.change({}, deadline, drop=members.keys(subject))
        trust.look(deadline)
        _log.info("%s is let in no more", subject)
        return api.RevokeCertificateResponse()

    def is_let_in(self, name: str, deadline: Deadline) -> bool:
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
        self._row.change({}, deadline, drop=_host(name, self._trust.look(deadline)))
        self._trust.look(deadline)

    def _authority(self) -> Trust:
        if self._trust is None:
            raise InUse("this control service has no certificate authority", "ovnhook node init --control")
        return self._trust

    def _issued(self, trust: Trust, certificate: bytes) -> api.IssuedCertificate:
        return api.IssuedCertificate(certificate=certificate.decode(), ca=trust.authority.certificate.decode())


def _host(name: str, found: Members) -> list[str]:
    """What a host is let in by, and would be, in the words of who keeps it."""
    hosts = [one for one in found.subjects if one.name == name and one.role in (pki.CONTROL, pki.NODE)]
    kept = [key for one in hosts for key in members.keys(one)]
    return kept + [key for one in found.invitations if one.subject.name == name for key in one.pair]
