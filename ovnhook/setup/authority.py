"""The certificate authority of a cloud, and the certificate that a control host has of it."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.errors import InUse, InvalidRequest
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import PUBLIC, SECRET, AuthorityFiles
from ovnhook.pki.token import Token
from ovnhook.pki.x509 import Authority, Subject
from ovnhook.setup import enrolment
from ovnhook.setup.enrolment import Door
from ovnhook.setup.step import Step


def steps(files: AuthorityFiles, name: str, address: str) -> Iterator[Step]:
    """There is an authority, and this host has a certificate of it.

    Args:
        files: where they are.
        name: of this host.
        address: that others reach it at.
    """
    yield Step("the certificate authority is there", lambda: _is_there(files), lambda: _make(files))
    yield Step(
        f"this host has a certificate as control host {name} at {address}",
        lambda: _is_good(files, name, address),
        lambda: _issue(files, name, address),
    )


def joined(files: AuthorityFiles, token: Token, address: str, door: Door) -> Iterator[Step]:
    """This host has the authority of other control hosts, and a certificate of it.

    Args:
        files: where they are.
        token: that lets this host in.
        address: that others reach it at.
        door: the control service of one of them.

    Raises:
        InvalidRequest: the token is not for a control host.
        InUse: this host has another authority.
    """
    if token.role != x509.CONTROL:
        raise InvalidRequest(f"this token is for a {token.role}", f"there: ovnhook node token {token.name} --control")
    own = files.own
    if own.certificate.exists() and x509.fingerprint(own.certificate.read_bytes()) != token.fingerprint:
        raise InUse(
            f"this host has an authority of its own, in {files.folder}, with which others may have joined",
            "to give it up: ovnhook control backup FILE; mv it away; then again",
        )
    yield Step(
        f"this host has the authority of {', '.join(enrolment.hosts(token))}",
        own.certificate.exists,
        lambda: _join(files, token, address, door),
    )
    yield from steps(files, token.name, address)


def renew(files: AuthorityFiles) -> Step:
    """A control host's own certificate is good for a while yet."""
    own = files.databases.certificate.read_bytes()
    name, (address, *_) = x509.subject_of(own).name, x509.addresses_of(own)
    return Step(
        f"the certificate of control host {name} is good for a while",
        lambda: _is_good(files, name, address),
        lambda: _issue(files, name, address),
    )


def _is_there(files: AuthorityFiles) -> bool:
    if not files.own.certificate.exists():
        return False
    files.load()
    return True


def _make(files: AuthorityFiles) -> None:
    made = Authority.new(keyfiles.read(files.own.key))  # with a key that others may trust already
    files.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    # The certificate is written last: with it the authority is there.
    keyfiles.write(files.own.key, made.key, SECRET)
    keyfiles.write(files.own.certificate, made.certificate, PUBLIC)


def _join(files: AuthorityFiles, token: Token, address: str, door: Door) -> None:
    ca, answer = enrolment.enrol(token, _key(files), address, door)
    keyfiles.write(files.databases.ca, ca, PUBLIC)  # who else is let in is known when this host's database is
    keyfiles.write(files.own.key, answer["authority_key"].encode(), SECRET)
    keyfiles.replace_certificate(files.databases, answer["certificate"].encode())
    keyfiles.write(files.own.certificate, ca, PUBLIC)


def _is_good(files: AuthorityFiles, name: str, address: str) -> bool:
    found, key = keyfiles.read(files.databases.certificate), keyfiles.read(files.databases.key)
    try:
        return (
            x509.split(found)[1:] == [files.own.certificate.read_bytes()]
            and x509.subject_of(found) == Subject(name, x509.CONTROL)
            and x509.addresses_of(found) == [address]
            and x509.matches(found, key)
            and not x509.needs_renewal(found)
        )
    except InvalidRequest:  # a file that was cut off
        return False


def _issue(files: AuthorityFiles, name: str, address: str) -> None:
    # The key stays: the certificate, which is replaced at once, is its own before and after.
    made = files.load().issue_server(x509.request(_key(files)), name, [address])
    keyfiles.replace_certificate(files.databases, made)


def _key(files: AuthorityFiles) -> bytes:
    """This host's key, a new one if there was none, or not all of one."""
    path = files.databases.key
    if not keyfiles.is_key(path):
        keyfiles.write(path, x509.new_key(), SECRET)
    return path.read_bytes()
