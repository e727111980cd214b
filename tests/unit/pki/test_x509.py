"""Certificates, as OpenSSL sees them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ovnhook.base.errors import InvalidRequest
from ovnhook.pki import members, token, x509
from ovnhook.pki.x509 import Authority, Subject

HV1 = Subject("hv1", x509.NODE)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Somebody who signs."""
    return Authority.new()


def verifies(directory: Path, trusted: bytes, certificate: bytes, purpose: str = "sslclient") -> str:
    """What OpenSSL says of a certificate; "OK" at the end where it is good."""
    bundle, leaf = directory / "trusted.pem", directory / "leaf.pem"
    bundle.write_bytes(trusted)
    leaf.write_bytes(certificate)
    argv = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(bundle), str(leaf)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def is_good(directory: Path, trusted: bytes, certificate: bytes, purpose: str = "sslclient") -> bool:
    """Whether OpenSSL finds a certificate good."""
    return verifies(directory, trusted, certificate, purpose).rstrip().endswith("OK")


def test_a_client_is_trusted_by_its_own_anchor_alone(authority: Authority, tmp_path: Path) -> None:
    """Not by another's, nor by an older one of its own, nor by the authority's certificate; never as a server."""
    key = x509.new_key()
    one, older, other = authority.anchor(HV1), authority.anchor(HV1), authority.anchor(Subject("hv2", x509.NODE))
    made = authority.issue(x509.request(key), HV1, one)
    assert is_good(tmp_path, authority.certificate + other + one, made)
    assert not is_good(tmp_path, authority.certificate + older + other, made)
    assert not is_good(tmp_path, authority.certificate + one, made, "sslserver")
    assert x509.issuer_of(made) == x509.name_of(one) != x509.name_of(older)
    assert x509.matches(made, key)
    assert not x509.matches(made, x509.new_key())
    assert x509.subject_of(made) == HV1


def test_a_seal(authority: Authority) -> None:
    """It is of those words alone, in that order, and nobody else can make it."""
    seal = authority.seal("node hv1", "a value")
    assert authority.verify_seal(seal, "node hv1", "a value")
    for wrong in (("node hv1", "another"), ("a value", "node hv1")):
        assert not authority.verify_seal(seal, *wrong)
    assert not authority.verify_seal("", "node hv1", "a value")
    assert not Authority.new().verify_seal(seal, "node hv1", "a value")
    assert Authority.new(authority.key).verify_seal(seal, "node hv1", "a value")


def test_a_seal_has_one_boundary(authority: Authority) -> None:
    """The value's beginning can't be made the key's end: neither now, nor with a seal of an earlier version."""
    key, value = "node hv1 5f3a", "one\ntwo\nthree"
    earlier = hmac.new(authority.key, f"{key}\n{value}".encode(), hashlib.sha256).hexdigest()
    for seal in (authority.seal(key, value), earlier):
        assert authority.verify_seal(seal, key, value)
        entries = {f"{key}\none": f"two\nthree {seal}", f"{key}\none\ntwo": f"three {seal}", key: f"{value} {seal}"}
        assert members.verified(authority, entries) == {key: f"{value} {seal}"}
    for odd in ("node\thv1", "node hv1\x00", "node hv1\u0085", "node hv1\u2028"):
        assert members.verified(authority, members.sealed(authority, {odd: value})) == {}


def test_servers_are_trusted_by_the_authority(authority: Authority, tmp_path: Path) -> None:
    """A control host's certificate is for its name and addresses, and for a member of a cluster to be a client with."""
    made = authority.issue_server(x509.request(x509.new_key()), "c1", ["192.0.2.1", "2001:db8::1"])
    assert is_good(tmp_path, authority.certificate, made, "sslserver")
    assert is_good(tmp_path, authority.certificate, made)
    assert not is_good(tmp_path, Authority.new().certificate, made, "sslserver")
    assert x509.subject_of(made) == Subject("c1", x509.CONTROL)
    assert x509.addresses_of(made) == ["192.0.2.1", "2001:db8::1"]
    assert x509.split(made)[1:] == [authority.certificate]
    text = subprocess.run(["openssl", "x509", "-text"], input=made, capture_output=True, check=True).stdout
    assert b"DNS:ovnhook-control, IP Address:192.0.2.1" in text


def test_a_certificate_ends(authority: Authority, tmp_path: Path) -> None:
    """One that has expired is good for nothing; a new one need not be renewed, one that is near its end has to be."""
    anchor = authority.anchor(HV1)
    made = [
        authority.issue(x509.request(x509.new_key()), HV1, anchor, lifetime)
        for lifetime in (timedelta(minutes=-1), timedelta(minutes=20), x509.LIFETIME)
    ]
    assert "expired" in verifies(tmp_path, anchor, made[0])
    assert [x509.needs_renewal(one) for one in made] == [True, True, False]
    assert x509.expires(made[2]) - x509.expires(made[1]) > timedelta(days=89)


def test_fingerprint(authority: Authority) -> None:
    """It is the one that OpenSSL prints."""
    argv = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(argv, input=authority.certificate, capture_output=True, check=True).stdout.decode()
    assert said.strip().partition("=")[2].replace(":", "").lower() == x509.fingerprint(authority.certificate)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda a: a.issue(b"nonsense", HV1, a.anchor(HV1)), "not a signing request"),
        (lambda a: a.issue(x509.request(x509.new_key()), HV1, b"nonsense"), "not a certificate"),
        (lambda _: x509.request(b"nonsense"), "not a private key"),
        (lambda a: Authority(x509.new_key(), a.certificate), "does not match its certificate"),
        (lambda a: x509.subject_of(a.certificate), "unknown role ''"),
        (lambda _: Subject("hv1", "king"), "unknown role 'king'"),
        (lambda _: Subject("../hv1", x509.NODE), r"invalid certificate name '\.\./hv1'"),
        (lambda _: Subject("n" * 41, x509.NODE), "invalid certificate name"),
    ],
)
def test_what_is_refused(authority: Authority, what: object, words: str) -> None:
    """What is not what it is to be is told as such."""
    with pytest.raises(InvalidRequest, match=words):
        what(authority)  # type: ignore[operator]


def test_signing_requests_that_are_damaged(authority: Authority) -> None:
    """Whatever byte is another one: each is refused, or is still a request; no error of the library comes through."""
    chance = random.Random(1)
    anchor = authority.anchor(HV1)
    good = base64.b64decode(b"".join(x509.request(x509.new_key()).splitlines()[1:-1]))
    refused = 0
    for _ in range(2_000):
        wrong = bytearray(good)
        wrong[chance.randrange(len(wrong))] = chance.randrange(256)
        text = base64.encodebytes(bytes(wrong)).decode()
        request = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        with suppress(InvalidRequest):
            authority.issue(request.encode(), HV1, anchor)
            continue
        refused += 1
    assert refused > 1_000


def test_a_token_is_read_as_it_was_written() -> None:
    """Also folded by a terminal; and what is kept of it is not the secret."""
    made = token.Token("hv1", x509.NODE, ["192.0.2.1:6646", "[2001:db8::1]:6646"], "ab" * 32, token.new_secret())
    text = str(made)
    assert token.parse(text) == made
    assert token.parse(f"  {text[:80]}\n{text[80:]}\n") == made
    assert made.secret not in made.digest


@pytest.mark.parametrize("cut", [0, 5, 9, 40, -3])
def test_a_token_that_was_cut_off_is_none(cut: int) -> None:
    """It is told, and nobody is asked."""
    text = str(token.Token("hv1", x509.NODE, ["192.0.2.1:6646"], "ab" * 32, token.new_secret()))
    with pytest.raises(InvalidRequest, match="truncated one"):
        token.parse(text[:cut])
    for wrong in ("ovnhook1.e30", "ovnhook1.W10", "ovnhook1.äöü", "x" * 9000):
        with pytest.raises(InvalidRequest, match="not a token"):
            token.parse(wrong)
