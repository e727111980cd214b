"""Certificate authority and X.509 certificates (RFC 5280).

Servers are verified with one CA certificate, the authority's. Each client has a CA certificate of its own, its *trust
anchor*, signed with the authority's key and named after the client. Open vSwitch has no revocation lists (RFC 5280,
section 5), so a client is revoked by removing its anchor from the servers' CA files
(docs/explanation/decisions/0011).

Example::

    authority, subject = Authority.new(), Subject("hv1", NODE)
    anchor = authority.anchor(subject)
    certificate = authority.issue(request(new_key()), subject, anchor)
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

from ovnhook.base.config import SERVER_NAME
from ovnhook.base.errors import InvalidRequest

CONTROL, NODE, OPERATOR, READER = "control", "node", "operator", "reader"
ROLES = (CONTROL, NODE, OPERATOR, READER)

LIFETIME = datetime.timedelta(days=90)
"""Lifetime of a certificate; anchors and the authority's own last as long as the cloud."""

_CA_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SKEW = datetime.timedelta(hours=1)
_RENEWAL = 3  # a certificate is renewed in the last third of its lifetime
_ORGANIZATION = "ovnhook"
_AUTHORITY = "ovnhook CA"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_ID = 12  # characters of the ID in an anchor's name, which can have 64 (RFC 5280, appendix A)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Subject:
    """Subject of a certificate.

    Attributes:
        name: system-id of a node's Open vSwitch, as ovn-controller's RBAC requires, or a person's name.
        role: one of ROLES, which decides what the API allows.
    """

    name: str
    role: str

    def __post_init__(self) -> None:
        """Validate role and name; the name is also part of file names."""
        if self.role not in ROLES:
            raise InvalidRequest(f"unknown role '{self.role}'", f"one of {', '.join(ROLES)}")
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(f"invalid certificate name '{self.name}'", "up to 40 letters, digits, '.', '_', '-'")

    def __str__(self) -> str:
        return f"{self.role} {self.name}"


@dataclass(frozen=True)
class Authority:
    """Certificate authority.

    Attributes:
        key: private key in PEM.
        certificate: self-signed certificate in PEM, the CA for servers.
    """

    key: bytes
    certificate: bytes

    @classmethod
    def new(cls, key: bytes = b"") -> Self:
        """Create an authority with a new or an existing key."""
        key = key or new_key()
        name = _name(_AUTHORITY)
        return cls(key, _signed(_key(key), name, name, _key(key).public_key(), _CA_LIFETIME, _ca_extensions()))

    def __post_init__(self) -> None:
        """Verify that key and certificate match."""
        if _public(_key(self.key).public_key()) != _public(_certificate(self.certificate).public_key()):
            raise InvalidRequest("the authority's key does not match its certificate")

    def anchor(self, subject: Subject, anchor_id: str = "") -> bytes:
        """Create a trust anchor in PEM, the issuer of the subject's certificates.

        Args:
            subject: subject of the certificates.
            anchor_id: last word of the anchor's name; random by default.
        """
        key = _key(self.key)
        name = _name(f"{subject} {anchor_id or secrets.token_hex(_ID // 2)}")
        return _signed(key, name, name, key.public_key(), _CA_LIFETIME, _ca_extensions())

    def seal(self, key: str, value: str) -> str:
        """Seal a key and a value: HMAC (RFC 2104) with the private key, of an unambiguous encoding."""
        return self._hmac(json.dumps([key, value]))

    def verify_seal(self, seal: str, key: str, value: str) -> bool:
        """Verify the seal of a key and a value.

        Earlier versions joined the two with a newline. Such a seal is valid only for a key without one: else the start
        of the value could be passed off as the end of the key.
        """
        valid = [self.seal(key, value), *([] if "\n" in key else [self._hmac(f"{key}\n{value}")])]
        return any(hmac.compare_digest(seal.encode(), one.encode()) for one in valid)

    def derived(self, purpose: bytes, length: int) -> bytes:
        """Derive a secret from the private key (HKDF, RFC 5869).

        Args:
            purpose: context, unique to each use.
            length: length in bytes.
        """
        return HKDF(hashes.SHA256(), length, salt=None, info=purpose).derive(self.key)

    def _hmac(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def issue(self, request: bytes, subject: Subject, anchor: bytes, lifetime: datetime.timedelta = LIFETIME) -> bytes:
        """Issue a client certificate, in PEM.

        Args:
            request: certificate signing request in PEM, of which only the key is used.
            subject: subject of the certificate.
            anchor: trust anchor of the subject, the issuer.
            lifetime: lifetime of the certificate.

        Raises:
            InvalidRequest: not a signing request.
        """
        issuer = _certificate(anchor).subject
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return _signed(_key(self.key), _subject(subject), issuer, _requested(request), lifetime, [(usage, False)])

    def issue_server(
        self, request: bytes, name: str, addresses: Iterable[str], lifetime: datetime.timedelta = LIFETIME
    ) -> bytes:
        """Issue a control host's certificate, followed by the authority's, in PEM.

        Args:
            request: certificate signing request in PEM, of which only the key is used.
            name: name of the host.
            addresses: IP addresses of the host.
            lifetime: lifetime of the certificate.

        Raises:
            InvalidRequest: not a signing request, or an invalid address.
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
    """Parse an IP address without a scope, since a scope is local to one host and may be any text.

    Raises:
        ValueError: not an IP address, or one with a scope.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} has a scope")
    return address


def new_key() -> bytes:
    """Generate a private key, in PEM."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request(key: bytes) -> bytes:
    """Create a certificate signing request in PEM, without a subject: the authority sets it."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(_key(key), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def subject_of(certificate: bytes) -> Subject:
    """Subject of a certificate in PEM.

    Raises:
        InvalidRequest: not a certificate, or one without a valid name and role.
    """
    found = _certificate(certificate)
    name, role = (
        next((str(one.value) for one in found.subject.get_attributes_for_oid(oid)), "")
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
    )
    return Subject(name, role)


def addresses_of(certificate: bytes) -> Sequence[str]:
    """IP addresses in a server's certificate."""
    extension = _certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(one) for one in extension.value.get_values_for_type(x509.IPAddress)]


def name_of(anchor: bytes) -> str:
    """Name of an anchor."""
    return _common(_certificate(anchor).subject)


def issuer_of(certificate: bytes) -> str:
    """Name of a certificate's issuer: an anchor or the authority."""
    return _common(_certificate(certificate).issuer)


def key_id(certificate: bytes) -> str:
    """ID of a certificate's key, which stays the same when the certificate is renewed."""
    return hashlib.sha256(_public(_certificate(certificate).public_key())).hexdigest()[:16]


def request_key_id(request: bytes) -> str:
    """ID of a signing request's key.

    Raises:
        InvalidRequest: not a signing request.
    """
    return hashlib.sha256(_public(_requested(request))).hexdigest()[:_ID]


def matches(certificate: bytes, key: bytes) -> bool:
    """Test whether a certificate and a private key belong together."""
    return _public(_certificate(certificate).public_key()) == _public(_key(key).public_key())


def expires(certificate: bytes) -> datetime.datetime:
    """Expiry of a certificate."""
    return _span(_certificate(certificate))[1]


def needs_renewal(certificate: bytes) -> bool:
    """Test whether a certificate is in the last third of its lifetime."""
    begin, end = _span(_certificate(certificate))
    return _now() > end - (end - begin) / _RENEWAL


def fingerprint(certificate: bytes) -> str:
    """SHA-256 fingerprint of a certificate, in lower case without colons."""
    return hashlib.sha256(_certificate(certificate).public_bytes(serialization.Encoding.DER)).hexdigest()


def split(text: bytes) -> list[bytes]:
    """Split a PEM bundle into its certificates."""
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
    """Public key of a signing request, verified by the request's signature."""
    try:
        found = x509.load_pem_x509_csr(text)
        key, is_valid = found.public_key(), found.is_signature_valid
    except Exception as error:  # of many classes: what is wrong with a key is found late, some of it by OpenSSL only
        raise InvalidRequest("not a signing request in PEM") from error
    if not is_valid or not isinstance(key, ec.EllipticCurvePublicKey):
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


def _ca_extensions() -> _Extensions:
    """Extensions of a CA certificate without intermediate CAs."""
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
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        # RFC 5280, 4.2.1.1 and 4.2.1.2: strict verifiers require both.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _span(certificate: x509.Certificate) -> tuple[datetime.datetime, datetime.datetime]:
    """Start and end of a certificate's validity."""
    begin, end = (
        # The attributes with a time zone exist since version 42, where the others are deprecated.
        getattr(certificate, f"{name}_utc", None) or getattr(certificate, name).replace(tzinfo=datetime.UTC)
        for name in ("not_valid_before", "not_valid_after")
    )
    return begin, end
