"""Attacks of a node, a reader and an outsider on the domains of another node. Real databases, real TLS."""

from __future__ import annotations

from pathlib import Path

from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import Files
from tests.attacks.api import (
    DENIED,
    ApiAttempt,
    ApiClient,
    Victims,
    attempts_of_host,
    attempts_of_node,
    attempts_of_reader,
)
from tests.database.attacked_cloud import AttackedCloud, attacked
from tests.database.control_host import ControlHost, cloud

__all__ = ["attacked", "cloud"]  # fixtures


def test_as_a_node(attacked: AttackedCloud) -> None:
    """With its own certificate: it changes nothing that is another node's, whatever it names."""
    victims = Victims.listed(attacked.attacker)
    assert attacked.wrong(attacked.attacker, attempts_of_node("hv1", "hv2", victims)) == {}


def test_as_a_reader(attacked: AttackedCloud, tmp_path: Path) -> None:
    """It reads, and changes nothing, of hosts or of the cloud."""
    shown = issue(attacked.host, tmp_path, "hv1", "reader")
    client = ApiClient.of(attacked.host.api, shown)
    victims = Victims.listed(client)
    assert attacked.wrong(client, attempts_of_reader("hv2", victims)) == {}
    assert attacked.wrong(client, attempts_of_host("hv1", victims)) == {}


def issue(host: ControlHost, folder: Path, name: str, role: str) -> Files:
    """Issue a certificate to a person, and return its files."""
    made = keyfiles.node(folder / name)
    keyfiles.write(made.key, x509.new_key(), keyfiles.SECRET)
    request = x509.request(made.key.read_bytes()).decode()
    answer = host.client.call("IssueCertificate", name=name, role=role, request=request)
    keyfiles.write(made.certificate, answer["certificate"].encode(), keyfiles.PUBLIC)
    keyfiles.write(made.ca, answer["ca"].encode(), keyfiles.PUBLIC)
    return made


def test_as_an_outsider(attacked: AttackedCloud, tmp_path: Path) -> None:
    """Without a certificate, with one of another authority, and with one that was revoked: nothing is served."""
    victims = Victims.listed(attacked.attacker)
    foreign, authority = keyfiles.node(tmp_path / "foreign"), x509.Authority.new()
    subject = x509.Subject("hv1", x509.NODE)
    keyfiles.write(foreign.key, x509.new_key(), keyfiles.SECRET)
    request = x509.request(foreign.key.read_bytes())
    keyfiles.write(foreign.certificate, authority.issue(request, subject, authority.anchor(subject)), keyfiles.PUBLIC)
    attacked.host.client.call("RevokeCertificate", name="hv1", role="node")
    ca = attacked.files.ca
    attempts = [*attempts_of_reader("hv2", victims, ["UNAVAILABLE"]), *attempts_of_host("hv1", victims)]
    attempts = [ApiAttempt(one.method, one.fields, frozenset({"UNAVAILABLE"})) for one in attempts[:8]]
    for pair in (None, (foreign.certificate, foreign.key), (attacked.files.certificate, attacked.files.key)):
        assert attacked.wrong(ApiClient(attacked.host.api, ca, pair), attempts) == {}
    assert attacked.attacker.status("ListNodes") == DENIED  # on a connection that was open
