"""What OVN lets a node write to the southbound database, with northd's own rules: as the trust model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.attacks.southbound import PERMISSION, SouthboundClient, attempts
from tests.database.control_service import Control
from tests.database.northd import Northd
from tests.database.openssl import OpensslAuthority
from tests.database.southbound_role import listen_for_nodes
from tests.database.southbound_rows import add_chassis


def test_each_table(
    control: Control, authority: OpensslAuthority, directory: Path, make_port: Callable[[], int]
) -> None:
    """A node writes its own chassis, where ports are bound and what hosts have learned, and nothing else."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.attach("web1", "blue", "10.1.0.11")
    (port,) = control.done("port", "list", "--format", "json").json
    address = f"127.0.0.1:{make_port()}"
    listen_for_nodes(control.southbound, authority, address)
    for name in ("hv1", "hv2"):
        add_chassis(control.southbound, name)
    with Northd(directory, control.northbound, control.southbound):
        client = SouthboundClient(f"ssl:{address}", *authority.sign("hv2", "node"), authority.certificate)
        tried = list(attempts(client, "hv2", "hv1", port["id"]))
        errors = {one.what: client.error(*one.operations) for one in tried}
    assert errors == {one.what: "" if one.passes else PERMISSION for one in tried}
