"""One node floods the control service or the southbound database: another one starts a domain, and root is served."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.api import OK, ApiClient, libvirt_domain
from tests.attacks.floods import OF_API, OF_SOUTHBOUND, SILENT, Flood, FloodTarget, flooded
from tests.attacks.southbound import SouthboundClient
from tests.database.control_host import ControlHost, cloud
from tests.database.control_service import Control
from tests.database.openssl import OpensslAuthority
from tests.database.southbound_role import listen_for_nodes
from tests.database.southbound_rows import add_chassis

__all__ = ["cloud"]  # the fixture

UUID, MAC = "b0b760f6-c243-4921-961b-fb38061dec03", "52:54:00:bb:00:01"


def start_and_stop(victim: ApiClient) -> None:
    """Start a domain of hv2, and undefine it."""
    domain = libvirt_domain(UUID, "web1", MAC)
    for method in ("AttachDomain", "DetachDomain", "ReleaseDomainLeases"):
        assert victim.status(method, host="hv2", domain=domain) == OK


@pytest.mark.parametrize("flood", OF_API, ids=lambda flood: flood.__name__)
def test_the_control_service(cloud: ControlHost, flood: Flood) -> None:
    """With the certificate of a node where it has one, and as a stranger where hosts join."""
    for name in ("hv1", "hv2"):
        add_chassis(cloud.control.southbound, name, options="")
    assert cloud.ovnhook("subnet", "create", "blue", "10.1.0.0/24", "--default").status == 0
    victim = ApiClient.of(cloud.api, cloud.enrol(cloud.create_token("hv2")))
    shown = cloud.enrol(cloud.create_token("hv1"))
    with flooded(flood, FloodTarget(cloud.api, shown.ca, (shown.certificate, shown.key))):
        start_and_stop(victim)
        assert cloud.ovnhook("port", "list").status == 0
    if flood in SILENT:
        with flooded(flood, FloodTarget(cloud.config.enrolment, shown.ca, None)):
            cloud.enrol(cloud.create_token("hv3"))
    start_and_stop(victim)
    victim.close()


@pytest.mark.parametrize("flood", OF_SOUTHBOUND, ids=lambda flood: flood.__name__)
def test_the_southbound_database(
    control: Control, authority: OpensslAuthority, make_port: Callable[[], int], flood: Flood
) -> None:
    """Another host's ovn-controller and the control service are served."""
    address = f"127.0.0.1:{make_port()}"
    listen_for_nodes(control.southbound, authority, address)
    add_chassis(control.southbound, "hv1")
    client = SouthboundClient(f"ssl:{address}", *authority.sign("hv2", "node"), authority.certificate)
    with flooded(flood, FloodTarget(address, authority.certificate, authority.sign("hv1", "node"))):
        assert [row["name"] for row in client.rows("Chassis")] == ["hv1"]
        assert control.done("node", "list").table[1][0] == "hv1"
    assert [row["name"] for row in client.rows("Chassis")] == ["hv1"]
