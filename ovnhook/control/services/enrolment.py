"""The service ``ovnhook.v1.Enrolment``, on a port where no certificate is to be shown: one who joins has none yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import enrolment_pb2 as api
from ovnhook.api.v1 import enrolment_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidConfig, NotFound, PermissionDenied
from ovnhook.control.roles import ANYBODY, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.trust import Trust
from ovnhook.pki import members, x509
from ovnhook.pki import token as tokens

_log = logging.getLogger(__name__)


class Enrolment(Service):
    """Lets hosts in that have a token.

    Args:
        trust: knows who is let in.
    """

    NAME = "ovnhook.v1.Enrolment"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "Enrol": ANYBODY,
    }

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        if found.trust is None:
            raise InvalidConfig("hosts can't join without a certificate authority", "ovnhook node init --control")
        return cls(found.trust)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(self, server)

    def Enrol(self, request: api.EnrolRequest, deadline: Deadline) -> api.EnrolResponse:
        """Let a host in; the token is used up with that."""
        digest = tokens.digest(request.secret)
        found = self._trust.look(deadline)
        invitation = next((one for one in found.tokens if one.digest == digest), None)
        if invitation is None or invitation.expires < time.time():
            raise PermissionDenied(
                "this token was used already, has expired, or never was one",
                "on the control host: ovnhook node token NAME",
            )
        subject, authority = invitation.subject, self._trust.authority
        wanted = request.request.encode()
        if subject.role == x509.CONTROL:
            certificate = authority.issue_server(wanted, subject.name, [request.address])
            key, value = f"{subject} {x509.key_id(certificate)}", request.address
        else:
            anchor = authority.anchor(subject)
            certificate = authority.issue(wanted, subject, anchor)
            key, value = x509.name_of(anchor), anchor.decode()
        entries = members.entries_of(key, value, certificate)
        # Whoever had the name before is let in no more: a host that was set up anew, or one that is not it.
        gone = [invitation.digest, *(one.id for one in found.by_subject(subject) if one.key != key)]
        try:
            self._trust.change(entries, deadline, gone, needs=invitation.entry)
        except NotFound as error:
            raise PermissionDenied("this token was used by another host at the same time") from error
        _log.info("%s has joined", subject)
        return api.EnrolResponse(
            certificate=certificate.decode(),
            authority_key=authority.key.decode() if subject.role == x509.CONTROL else "",
        )
