"""A cloud with the victims of `tests.attacks.api` on node hv2, and the certificate of node hv1 that attacks them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.attacks.api import (
    ATTACHED,
    DETACHED,
    RUNNING,
    SECLUDED,
    STOPPED,
    ApiAttempt,
    ApiClient,
    libvirt_domain,
)
from tests.database.control_host import ControlHost
from tests.database.southbound_rows import add_chassis

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
