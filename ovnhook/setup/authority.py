"""Certificate authority of a cloud, and a control host's certificate."""

from __future__ import annotations

from collections.abc import Iterator

from ovnhook.base.errors import FailedPrecondition, InvalidRequest
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import PUBLIC, SECRET, AuthorityFiles
from ovnhook.pki.token import Token
from ovnhook.pki.x509 import Authority, Subject
from ovnhook.setup import enrolment
from ovnhook.setup.enrolment import ControlClient
from ovnhook.setup.step import Step


def steps(files: AuthorityFiles, name: str, address: str) -> Iterator[Step]:
    """Create the authority and this host's certificate, if missing.

    Args:
        files: files of the authority.
        name: name of this host.
        address: address of this host.
    """
    yield Step("the certificate authority exists", lambda: _exists(files), lambda: _create(files))
    yield Step(
        f"this host has a certificate for control host {name} at {address}",
        lambda: _is_valid(files, name, address),
        lambda: _issue(files, name, address),
    )


def joined(files: AuthorityFiles, token: Token, address: str, client: ControlClient) -> Iterator[Step]:
    """Obtain the authority of other control hosts, and this host's certificate.

    Args:
        files: files of the authority.
        token: join token.
        address: address of this host.
        client: client of another host's control service.

    Raises:
        InvalidRequest: the token is not for a control host.
        FailedPrecondition: this host has another authority.
    """
    if token.role != x509.CONTROL:
        raise InvalidRequest(f"this token is for a {token.role}", f"there: ovnhook node token {token.name} --control")
    own = files.own
    if own.certificate.exists() and x509.fingerprint(own.certificate.read_bytes()) != token.fingerprint:
        raise FailedPrecondition(
            f"this host already has a certificate authority, in {files.folder}, that other hosts may use",
            "to discard it: ovnhook control backup FILE; mv it away; then repeat",
        )
    yield Step(
        f"this host has the certificate authority of {', '.join(enrolment.hosts(token))}",
        own.certificate.exists,
        lambda: _join(files, token, address, client),
    )
    yield from steps(files, token.name, address)


def renew(files: AuthorityFiles) -> Step:
    """Renew a control host's certificate if needed."""
    own = files.databases.certificate.read_bytes()
    name, (address, *_) = x509.subject_of(own).name, x509.addresses_of(own)
    return Step(
        f"the certificate of control host {name} is up to date",
        lambda: _is_valid(files, name, address),
        lambda: _issue(files, name, address),
    )


def _exists(files: AuthorityFiles) -> bool:
    if not files.own.certificate.exists():
        return False
    files.load()
    return True


def _create(files: AuthorityFiles) -> None:
    made = Authority.new(keyfiles.read(files.own.key))  # an existing key may be trusted by others already
    files.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    # The certificate is written last: it marks the authority as complete.
    keyfiles.write(files.own.key, made.key, SECRET)
    keyfiles.write(files.own.certificate, made.certificate, PUBLIC)


def _join(files: AuthorityFiles, token: Token, address: str, client: ControlClient) -> None:
    ca, answer = enrolment.enrol(token, _key(files), address, client)
    keyfiles.write(files.databases.ca, ca, PUBLIC)  # trusted clients are added once this host's database is up
    keyfiles.write(files.own.key, answer["authority_key"].encode(), SECRET)
    keyfiles.replace_certificate(files.databases, answer["certificate"].encode())
    keyfiles.write(files.own.certificate, ca, PUBLIC)


def _is_valid(files: AuthorityFiles, name: str, address: str) -> bool:
    found, key = keyfiles.read(files.databases.certificate), keyfiles.read(files.databases.key)
    try:
        return (
            x509.split(found)[1:] == [files.own.certificate.read_bytes()]
            and x509.subject_of(found) == Subject(name, x509.CONTROL)
            and x509.addresses_of(found) == [address]
            and x509.matches(found, key)
            and not x509.needs_renewal(found)
        )
    except InvalidRequest:  # a truncated file
        return False


def _issue(files: AuthorityFiles, name: str, address: str) -> None:
    # The key is kept, so that it matches the certificate before and after the replacement.
    made = files.load().issue_server(x509.request(_key(files)), name, [address])
    keyfiles.replace_certificate(files.databases, made)


def _key(files: AuthorityFiles) -> bytes:
    """Read this host's private key; generate one if missing or incomplete."""
    path = files.databases.key
    if not keyfiles.is_key(path):
        keyfiles.write(path, x509.new_key(), SECRET)
    return path.read_bytes()
