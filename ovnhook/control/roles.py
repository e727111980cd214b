"""Authentication and authorization: the caller's role from its certificate, and the access rules of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import unquote

import grpc

from ovnhook.base.errors import InvalidRequest, PermissionDenied, Unavailable
from ovnhook.control.admission import CallKind
from ovnhook.pki.members import Members
from ovnhook.pki.x509 import CONTROL, NODE, OPERATOR, READER, ROLES, Subject, subject_of

Identify = Callable[[grpc.ServicerContext], Subject]
"""Returns the caller of an RPC, or raises PermissionDenied."""

_IPV6_PREFIX = 64  # prefix length of the IPv6 network that counts as one host

LOCAL = Subject("localhost", OPERATOR)
"""Caller without a certificate: root on the unix socket, or users of this host where the API is served without TLS."""


@dataclass(frozen=True)
class Rule:
    """Access rule of a method.

    Example::

        RULES = {"ListPorts": READS, "RemoveNode": Rule(frozenset({OPERATOR}), kind=CallKind.WAITING)}

    Attributes:
        roles: roles that may call the method.
        passes_caller: True to pass the caller's Subject as the third argument of the method.
        kind: kind of its RPCs, each with a quota of its own; streams are `CallKind.STREAM` instead of SHORT.
    """

    roles: frozenset[str]
    passes_caller: bool = False
    kind: CallKind = CallKind.SHORT

    def check(self, caller: Subject, method: str) -> None:
        """Check the caller's role.

        Args:
            caller: caller of the RPC.
            method: full method name.

        Raises:
            PermissionDenied: the role may not call the method.
        """
        if caller.role not in self.roles:
            hint = f"requires a certificate with OU {' or '.join(sorted(self.roles))}" if self.roles else ""
            raise PermissionDenied(f"{caller} may not call {method.removeprefix('/')}", hint)


READS = Rule(frozenset({READER, NODE, OPERATOR, CONTROL}))
READS_AND_WAITS = replace(READS, passes_caller=True, kind=CallKind.WAITING)
CHANGES = Rule(frozenset({OPERATOR, CONTROL}))
CHANGES_AND_WAITS = replace(CHANGES, kind=CallKind.WAITING)
CHANGES_OF_A_HOST = Rule(frozenset({NODE, OPERATOR, CONTROL}), passes_caller=True)
"""A node may change only its own host, which the method checks: `check_host`."""

WATCHES_A_HOST = replace(CHANGES_OF_A_HOST, kind=CallKind.AGENT)
"""A node may watch only what concerns its own host, likewise."""

MIGRATES_TO_A_HOST = replace(CHANGES_OF_A_HOST, kind=CallKind.MIGRATION)
"""A node may announce migrations to its own host only, likewise; the RPC waits for the other host."""

OWN = Rule(frozenset(ROLES), passes_caller=True)
"""Every role may change what belongs to the caller."""

ANYBODY = Rule(frozenset(ROLES))

NOBODY = Rule(frozenset())
"""Rule of a method without one."""


def caller_of(context: grpc.ServicerContext) -> Subject:
    """Caller of an RPC.

    Raises:
        PermissionDenied: invalid subject of its certificate.
    """
    shown = _shown(context)
    if shown is None:
        return LOCAL
    try:
        return subject_of(shown)
    except InvalidRequest as error:
        raise PermissionDenied(
            f"invalid subject of the client certificate: {error.message}",
            f"the subject must be /OU=ROLE/CN=NAME, with the role {READER}, {NODE} or {OPERATOR}",
        ) from error


def trusted_caller_of(members: Callable[[], Members], context: grpc.ServicerContext) -> Subject:
    """Caller of an RPC, unless its certificate was revoked since it connected.

    Args:
        members: returns the trusted clients.
        context: context of the RPC.

    Raises:
        PermissionDenied: invalid subject of its certificate, or a certificate that was revoked or replaced.
        Unavailable: the trusted clients have not been read yet.
    """
    caller, shown, now = caller_of(context), _shown(context), members()
    if shown is not None and not now.servers:
        raise Unavailable("the trusted clients are not known yet: the northbound database is unreachable")
    if shown is not None and now.by_certificate(shown) is None:
        raise PermissionDenied(f"certificate of {caller} was revoked or replaced", "ovnhook certificate list")
    return caller


def anybody(_context: grpc.ServicerContext) -> Subject:
    """Caller of RPCs for which no certificate is required: a host that joins."""
    return Subject("anybody", READER)


def counted_as(caller: Subject, context: grpc.ServicerContext) -> str:
    """Client as quotas count it: the subject of its certificate, or without one the host that it calls from."""
    return str(caller) if _shown(context) else source_of(context.peer())


def source_of(peer: str) -> str:
    """Host of a peer in gRPC's notation: its IPv4 address, its IPv6 network, or ``unix``."""
    kind, _, where = unquote(peer).partition(":")
    host = where.rpartition(":")[0].strip("[]").partition("%")[0]
    match kind:
        case "ipv4":
            return host
        case "ipv6":  # a host can use every address of its network
            return str(ip_network(f"{host}/{_IPV6_PREFIX}", strict=False))
        case _:
            return kind


def _shown(context: grpc.ServicerContext) -> bytes | None:
    """Client certificate in PEM, or None if the connection is without TLS."""
    shown = context.auth_context()
    if shown.get("transport_security_type") == [b"insecure"]:
        return None
    return b"".join(shown.get("x509_pem_cert", ()))


def check_host(caller: Subject, host: str) -> None:
    """Refuse a node that acts for another host.

    Args:
        caller: caller of the RPC.
        host: host of the ports to be changed.

    Raises:
        PermissionDenied: the caller is a node, and another one.
    """
    if caller.role == NODE and caller.name != host:
        raise PermissionDenied(
            f"{caller} may not change ports of host '{host}'",
            "a node may change only its own ports: run this there, or as operator",
        )
