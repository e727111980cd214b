"""Certificates (RFC 5280): who signs them, and what they say of those whom they are given to.

Everybody trusts servers by one certificate, the authority's. Clients are trusted each by a certificate of its own, its
*anchor*, which the authority's key has signed as well and which names the client: Open vSwitch knows no list of those
that are revoked (RFC 5280, section 5), but it forgets a client whose anchor is taken out of its CA file
(docs/explanation/decisions/0011).
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ovnhook.base.errors import InvalidRequest

CONTROL, NODE, OPERATOR, READER = "control", "node", "operator", "reader"
ROLES = (CONTROL, NODE, OPERATOR, READER)

SERVER_NAME = "ovnhook-control"
"""What every control host's certificate is for, whatever its address."""

LIFETIME = datetime.timedelta(days=90)
"""How long a certificate is good for; anchors and the authority's own are for as long as the cloud."""

_FOR_GOOD = datetime.timedelta(days=3650)
_EARLY = datetime.timedelta(hours=1)  # before now that one begins to be good: clocks differ
_RENEWED = 3  # with the last of so many parts of its time a certificate is to be renewed
_ORGANIZATION = "ovnhook"
_AUTHORITY = "ovnhook CA"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_MARK = 12  # characters of a mark in an anchor's name, which can have 64 (RFC 5280, appendix A)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is given to.

    Attributes:
        name: a node's, which is the system-id of its Open vSwitch (ovn-controller's RBAC asks for that), or a person's.
        role: what it may do: one of ROLES.
    """

    name: str
    role: str

    def __post_init__(self) -> None:
        """Refuse what can't be in a certificate, or in a file's name."""
        if self.role not in ROLES:
            raise InvalidRequest(f"'{self.role}' is no role", f"one of {', '.join(ROLES)}")
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                f"'{self.name}' is no name for a certificate", "up to 40 letters, digits, '.', '_', '-'"
            )

    def __str__(self) -> str:
        return f"{self.role} {self.name}"


@dataclass(frozen=True)
class Authority:
    """Somebody who signs.

    Attributes:
        key: its private key in PEM.
        certificate: its own certificate in PEM, by which servers are trusted.
    """

    key: bytes
    certificate: bytes

    @classmethod
    def new(cls, key: bytes = b"") -> Self:
        """One that nobody trusts yet, with a new key or with one that is there."""
        key = key or new_key()
        name = _name(_AUTHORITY)
        return cls(key, _signed(_key(key), name, name, _key(key).public_key(), _FOR_GOOD, _signs()))

    def __post_init__(self) -> None:
        """Refuse a key and a certificate that don't go together."""
        if _public(_key(self.key).public_key()) != _public(_certificate(self.certificate).public_key()):
            raise InvalidRequest("the authority's key is not that of its certificate")

    def anchor(self, subject: Subject, mark: str = "") -> bytes:
        """What a server trusts the subject by, in PEM; only certificates under it are good.

        Args:
            subject: who it is.
            mark: the word that its name ends with, in place of one that no other has.
        """
        key = _key(self.key)
        name = _name(f"{subject} {mark or secrets.token_hex(_MARK // 2)}")
        return _signed(key, name, name, key.public_key(), _FOR_GOOD, _signs())

    def seal(self, key: str, value: str) -> str:
        """Seal a key and a value: HMAC (RFC 2104) with the private key, of an encoding that has one reading."""
        return self._hmac(json.dumps([key, value]))

    def is_seal(self, seal: str, key: str, value: str) -> bool:
        """Verify a seal of a key and a value.

        Earlier versions joined the two with a newline. Such a seal is good for a key that has none: else the beginning
        of the value could be passed off as the end of the key.
        """
        good = [self.seal(key, value), *([] if "\n" in key else [self._hmac(f"{key}\n{value}")])]
        return any(hmac.compare_digest(seal.encode(), one.encode()) for one in good)

    def derived(self, purpose: bytes, length: int) -> bytes:
        """A secret that whoever has the private key can derive from it (HKDF, RFC 5869).

        Args:
            purpose: what it is for: another one for each.
            length: of it, in bytes.
        """
        return HKDF(hashes.SHA256(), length, salt=None, info=purpose).derive(self.key)

    def _hmac(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def issue(self, request: bytes, subject: Subject, anchor: bytes, lifetime: datetime.timedelta = LIFETIME) -> bytes:
        """A certificate in PEM for a client.

        Args:
            request: its signing request in PEM, of which only the key is taken.
            subject: who it is.
            anchor: what it is trusted by.
            lifetime: how long it is good for.

        Raises:
            InvalidRequest: the request is none.
        """
        issuer = _certificate(anchor).subject
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return _signed(_key(self.key), _subject(subject), issuer, _requested(request), lifetime, [(usage, False)])

    def issue_server(
        self, request: bytes, name: str, addresses: Iterable[str], lifetime: datetime.timedelta = LIFETIME
    ) -> bytes:
        """A control host's certificate in PEM, followed by the authority's.

        Args:
            request: its signing request.
            name: of the host.
            addresses: that it is reached at.
            lifetime: how long it is good for.

        Raises:
            InvalidRequest: the request is none, or an address.
        """
        try:
            ips = [x509.IPAddress(plain_address(one)) for one in addresses]
        except ValueError as error:
            raise InvalidRequest(f"a control host's address: {error}") from error
        extensions = [
            (x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME), *ips]), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        ]
        subject, issuer = _subject(Subject(name, CONTROL)), _name(_AUTHORITY)
        made = _signed(_key(self.key), subject, issuer, _requested(request), lifetime, extensions)
        return made + self.certificate


def plain_address(text: str) -> Address:
    """An address that hosts reach each other at.

    Raises:
        ValueError: it is none, or has a scope, which says something on one host only and may be any text.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} has a scope")
    return address


def new_key() -> bytes:
    """A private key in PEM."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request(key: bytes) -> bytes:
    """A signing request in PEM: who one is, the one who signs has to know."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(_key(key), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def subject_of(certificate: bytes) -> Subject:
    """Whom a certificate was given to.

    Args:
        certificate: in PEM.

    Raises:
        InvalidRequest: it says of nobody what he may do.
    """
    found = _certificate(certificate)
    name, role = (
        next((str(one.value) for one in found.subject.get_attributes_for_oid(oid)), "")
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
    )
    return Subject(name, role)


def addresses_of(certificate: bytes) -> Sequence[str]:
    """The addresses that a server's certificate is for."""
    extension = _certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(one) for one in extension.value.get_values_for_type(x509.IPAddress)]


def name_of(anchor: bytes) -> str:
    """The name of an anchor."""
    return _common(_certificate(anchor).subject)


def issuer_of(certificate: bytes) -> str:
    """The name of the anchor that a certificate is under, or of the authority."""
    return _common(_certificate(certificate).issuer)


def mark_of_key(certificate: bytes) -> str:
    """A word that is another one for each key, and stays when a certificate is renewed."""
    return hashlib.sha256(_public(_certificate(certificate).public_key())).hexdigest()[:16]


def mark_of_request(request: bytes) -> str:
    """A word that is another one for each key, of a signing request in PEM.

    Raises:
        InvalidRequest: the request is none.
    """
    return hashlib.sha256(_public(_requested(request))).hexdigest()[:_MARK]


def is_of(certificate: bytes, key: bytes) -> bool:
    """Whether a private key is a certificate's."""
    return _public(_certificate(certificate).public_key()) == _public(_key(key).public_key())


def expires(certificate: bytes) -> datetime.datetime:
    """When a certificate ceases to be good."""
    return _span(_certificate(certificate))[1]


def is_due(certificate: bytes) -> bool:
    """Whether it is time to renew a certificate."""
    begin, end = _span(_certificate(certificate))
    return _now() > end - (end - begin) / _RENEWED


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate, as ``openssl x509 -fingerprint -sha256`` has it, in lower case without colons."""
    return hashlib.sha256(_certificate(certificate).public_bytes(serialization.Encoding.DER)).hexdigest()


def split(text: bytes) -> list[bytes]:
    """The certificates in PEM that a text has in it, in their order."""
    return _PEM.findall(text)


def _certificate(text: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise InvalidRequest("not a certificate in PEM") from error


def _key(text: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidRequest("not a private key in PEM, without a passphrase") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise InvalidRequest("not a key of an elliptic curve")
    return found


def _requested(text: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signing request, which the one who asks has."""
    try:
        found = x509.load_pem_x509_csr(text)
    except ValueError as error:
        raise InvalidRequest("not a signing request in PEM") from error
    key = found.public_key()
    if not found.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidRequest("the signing request is not signed with a key of an elliptic curve")
    return key


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _common(name: x509.Name) -> str:
    return next((str(one.value) for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _subject(subject: Subject) -> x509.Name:
    pairs = (
        (NameOID.ORGANIZATION_NAME, _ORGANIZATION),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, subject.role),
        (NameOID.COMMON_NAME, subject.name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


_Extensions = list[tuple[x509.ExtensionType, bool]]


def _signs() -> _Extensions:
    """What makes a certificate one that others are signed by, but none that sign in turn."""
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]


def _signed(
    signer: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    lifetime: datetime.timedelta,
    extensions: _Extensions,
) -> bytes:
    now = _now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + lifetime)
        # RFC 5280, 4.2.1.1 and 4.2.1.2: strict readers want both.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _span(certificate: x509.Certificate) -> tuple[datetime.datetime, datetime.datetime]:
    """From when until when a certificate is good."""
    begin, end = (
        # From version 42 on; those without a zone are deprecated there.
        getattr(certificate, f"{name}_utc", None) or getattr(certificate, name).replace(tzinfo=datetime.UTC)
        for name in ("not_valid_before", "not_valid_after")
    )
    return begin, end
