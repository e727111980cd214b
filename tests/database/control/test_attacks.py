"""Attacks of a node, a reader and an outsider on the domains of another node. Real databases, real TLS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import Files
from tests.attacks.api import (
    ATTACHED,
    DENIED,
    DETACHED,
    RUNNING,
    SECLUDED,
    STOPPED,
    ApiAttempt,
    ApiClient,
    Victims,
    attempts_of_host,
    attempts_of_node,
    attempts_of_reader,
    libvirt_domain,
)
from tests.database.control_host import ControlHost, cloud
from tests.database.southbound_rows import add_chassis

__all__ = ["cloud"]  # the fixture

UUID = "b0b760f6-c243-4921-961b-fb38061dec0{}"
MAC = "52:54:00:bb:00:0{}"


class AttackedCloud:
    """A cloud in which node hv2 has domains, and hv1 attacks them.

    Args:
        host: control host.
    """

    def __init__(self, host: ControlHost) -> None:
        self.host = host
        self.victim = ApiClient.of(host.api, host.enrol(host.create_token("hv2")))
        self.files = host.enrol(host.create_token("hv1"))
        self.attacker = ApiClient.of(host.api, self.files)

    def fill(self) -> None:
        """Let hv2 start and attach its domains."""
        ask = self.victim.ask
        ask("ReportHost", host="hv2", agent_version="1")
        for number, name in enumerate((RUNNING, STOPPED, SECLUDED)):
            domain = libvirt_domain(UUID.format(number), name, MAC.format(number))
            domain["interfaces"][0]["isolated"] = name == SECLUDED
            ask("AttachDomain", host="hv2", domain=domain)
            if name == STOPPED:
                ask("DetachDomain", host="hv2", domain=domain)
        for number, name in enumerate((ATTACHED, DETACHED), 3):
            ask("Attach", host="hv2", name=name, interfaces=[{"mac": MAC.format(number)}])
        ask("Detach", host="hv2", name=DETACHED)

    def rows(self) -> Any:
        """All rows of the databases but those in which the servers say who is connected."""
        found = {**self.host.control.northbound.dump(), **self.host.control.southbound.dump()}
        return {table: rows for table, rows in found.items() if table != "Connection"}

    def wrong(self, client: ApiClient, attempts: Iterable[ApiAttempt]) -> dict[str, str]:
        """Attempts that are answered in another way, or that change something."""
        found, before = {}, self.rows()
        for one in attempts:
            status = client.status(one.method, one.timeout, **one.fields)
            now = self.rows()
            if status not in one.statuses or now != before:
                found[str(one)] = status + (" and rows are others" if now != before else "")
            before = now
        return found


@pytest.fixture
def attacked(cloud: ControlHost) -> AttackedCloud:
    """One with two nodes, a gateway, and two subnets."""
    for name in ("hv1", "hv2"):
        add_chassis(cloud.control.southbound, name, options="")
    assert cloud.ovnhook("subnet", "create", "blue", "10.1.0.0/24", "--default").status == 0
    made = AttackedCloud(cloud)
    made.fill()
    return made


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
