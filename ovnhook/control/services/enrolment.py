"""The service ``ovnhook.v1.Enrolment``, on a port of its own without client certificates, which joining hosts lack."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import enrolment_pb2 as api
from ovnhook.api.v1 import enrolment_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition, InvalidConfig, NotFound, PermissionDenied
from ovnhook.control.roles import ANYBODY, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.trust import Trust
from ovnhook.pki import members, x509
from ovnhook.pki import token as tokens

_log = logging.getLogger(__name__)


class Enrolment(Service):
    """Issues certificates to hosts that have a join token.

    Args:
        trust: trusted clients and hosts.
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
            raise InvalidConfig("hosts cannot join without a certificate authority", "ovnhook node init --control")
        return cls(found.trust)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(self, server)

    def Enrol(self, request: api.EnrolRequest, deadline: Deadline) -> api.EnrolResponse:
        """Issue a host's certificate, and invalidate its token."""
        digest = tokens.digest(request.secret)
        found = self._trust.update(deadline)
        invitation = next((one for one in found.tokens if one.digest == digest), None)
        if invitation is None or invitation.expires < time.time():
            raise PermissionDenied(
                "invalid, used or expired join token", "on the control host: ovnhook node token NAME"
            )
        if found.is_closed and not request.uses_api:
            raise FailedPrecondition(
                "ovnhook here is an earlier version: it needs the northbound database, which this cloud has closed",
                "here: install the packages of the control host's version, then repeat the command",
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
        # Revoke earlier certificates of this name: of the same host before it was reinstalled, or of another one.
        revoked = [invitation.digest, *(one.id for one in found.by_subject(subject) if one.key != key)]
        try:
            self._trust.change(entries, deadline, revoked, needs=invitation.entry)
        except NotFound as error:
            raise PermissionDenied("another host has used this join token at the same time") from error
        _log.info("%s has joined", subject)
        return api.EnrolResponse(
            certificate=certificate.decode(),
            authority_key=authority.key.decode() if subject.role == x509.CONTROL else "",
        )
