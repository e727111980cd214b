"""Who may call what: the role that a client's certificate says, and the rules that services choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import unquote

import grpc

from ovnhook.base.errors import InvalidRequest, PermissionDenied, Unavailable
from ovnhook.pki.members import Members
from ovnhook.pki.x509 import CONTROL, NODE, OPERATOR, READER, ROLES, Subject, subject_of

Identify = Callable[[grpc.ServicerContext], Subject]
"""Says who calls, or raises PermissionDenied."""

_NETWORK = 64  # the prefix length of what one host may have of IPv6

LOCAL = Subject("localhost", OPERATOR)
"""Who shows no certificate: root on the unix socket, or this host's users where it is served to them in the clear."""


@dataclass(frozen=True)
class Rule:
    """Who may call a method.

    Attributes:
        roles: of those who may.
        told: whether the method is told who calls, as its third argument, because what it does depends on that.
        long: whether it waits for others, for up to 30 seconds, so that there may be only few such calls at a time.
    """

    roles: frozenset[str]
    told: bool = False
    long: bool = False

    def check(self, caller: Subject, method: str) -> None:
        """Refuse who may not call.

        Args:
            caller: who calls.
            method: the rule's.

        Raises:
            PermissionDenied: it is not one of those roles.
        """
        if caller.role not in self.roles:
            hint = f"this needs a certificate whose OU is {' or '.join(sorted(self.roles))}" if self.roles else ""
            raise PermissionDenied(f"{caller} may not call {method.removeprefix('/')}", hint)


READS = Rule(frozenset({READER, NODE, OPERATOR, CONTROL}))
READS_AND_WAITS = replace(READS, told=True, long=True)
CHANGES = Rule(frozenset({OPERATOR, CONTROL}))
CHANGES_AND_WAITS = replace(CHANGES, long=True)
CHANGES_OF_A_HOST = Rule(frozenset({NODE, OPERATOR, CONTROL}), told=True)
"""A node may do so on itself alone, which only the method can see: `check_host`."""

OWN = Rule(frozenset(ROLES), told=True)
"""With what is his own, whoever it is."""

ANYBODY = Rule(frozenset(ROLES))

NOBODY = Rule(frozenset())
"""The rule of a method that has none."""


def caller_of(context: grpc.ServicerContext) -> Subject:
    """Who calls.

    Raises:
        PermissionDenied: its certificate does not say what it may do.
    """
    shown = _shown(context)
    if shown is None:
        return LOCAL
    try:
        return subject_of(shown)
    except InvalidRequest as error:
        raise PermissionDenied(
            f"the client's certificate does not say who it is and what it may do: {error.message}",
            f"make one whose subject is /OU=ROLE/CN=NAME, with the role {READER}, {NODE} or {OPERATOR}",
        ) from error


def trusted_caller_of(members: Callable[[], Members], context: grpc.ServicerContext) -> Subject:
    """Who calls, where one may be let in no more whose connection is open yet.

    Args:
        members: those who are let in now.
        context: of the call.

    Raises:
        PermissionDenied: its certificate does not say what it may do, or is not good any more.
        Unavailable: who is let in was never known, so far.
    """
    caller, shown, now = caller_of(context), _shown(context), members()
    if shown is not None and not now.servers:
        raise Unavailable("who is let in is not known yet: the northbound database is out of reach")
    if shown is not None and now.by_certificate(shown) is None:
        raise PermissionDenied(f"{caller} is let in no more, or not with this certificate", "ovnhook certificate list")
    return caller


def anybody(_context: grpc.ServicerContext) -> Subject:
    """Who calls where nobody shows a certificate: one who has none yet."""
    return Subject("anybody", READER)


def counted_as(caller: Subject, context: grpc.ServicerContext) -> str:
    """Whom a call is counted to: who shows a certificate, or the host that one without any calls from."""
    return str(caller) if _shown(context) else source_of(context.peer())


def source_of(peer: str) -> str:
    """The host of a peer as gRPC tells it: its IPv4 address, its IPv6 network, or ``unix``."""
    kind, _, where = unquote(peer).partition(":")
    host = where.rpartition(":")[0].strip("[]").partition("%")[0]
    match kind:
        case "ipv4":
            return host
        case "ipv6":  # whoever has one address of a network has them all
            return str(ip_network(f"{host}/{_NETWORK}", strict=False))
        case _:
            return kind


def _shown(context: grpc.ServicerContext) -> bytes | None:
    """The certificate that a client shows, in PEM, or None for one who comes by a way where none is wanted."""
    shown = context.auth_context()
    if shown.get("transport_security_type") == [b"insecure"]:
        return None
    return b"".join(shown.get("x509_pem_cert", ()))


def check_host(caller: Subject, host: str) -> None:
    """Refuse a node that acts for another host.

    Args:
        caller: who calls.
        host: whose ports are to be changed.

    Raises:
        PermissionDenied: they are not its own.
    """
    if caller.role == NODE and caller.name != host:
        raise PermissionDenied(
            f"{caller} may not change ports of host '{host}'", "a node changes its own alone: ask there, or as operator"
        )
