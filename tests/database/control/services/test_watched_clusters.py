"""Watches of a clustered database: which server is followed, and what becomes of a watch when it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from ovnhook.api.v1 import (
    changes_pb2,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.base.config import Config
from ovnhook.control import server
from ovnhook.ovsdb.replica import Replica
from tests.database import ovsdb_server as databases
from tests.database.ovsdb_server import wait_for
from tests.database.watch import Watch, made


@contextmanager
def watching(northbound: str, southbound: str, directory: Path) -> Iterator[tuple[Watch, subnets_pb2_grpc.SubnetsStub]]:
    """A watcher of subnets, and a client, of a control service on these databases."""
    config = Config(northbound=northbound, southbound=southbound, vswitch="unix:/nonexistent/s")
    service = server.ControlServer(directory / "control.sock", config)
    service.start()
    try:
        with grpc.insecure_channel(f"unix:{directory}/control.sock") as own:
            watch = Watch(own, changes_pb2.WatchChangesRequest.SUBNETS)
            watch.begin()
            yield watch, subnets_pb2_grpc.SubnetsStub(own)
    finally:
        service.stop()


def test_a_cluster_that_loses_a_server(
    cluster: databases.Cluster, southbound: databases.Server, directory: Path
) -> None:
    """Is watched by one of the others, and nothing is missed or told twice."""
    with watching(",".join(cluster.remotes), southbound.remote, directory) as (watch, stub):
        for number, server_ in enumerate([*cluster.servers, None]):
            subnet = subnets_pb2.Subnet(name=f"s{number}", cidr=f"10.{number}.0.0/24")
            wait_for(partial(made, stub, subnet))
            assert watch.until("CREATED", "subnet", subnet.name) == [("CREATED", "subnet", subnet.name)]
            if server_:
                server_.kill()
                server_.start()


def test_a_server_that_is_alone(
    cluster: databases.Cluster, southbound: databases.Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows nothing of what changes, and is left; the log says so once."""
    with watching(cluster.servers[0].remote, southbound.remote, directory) as (watch, stub):
        subnet = subnets_pb2.Subnet(name="blue", cidr="10.1.0.0/24")
        wait_for(partial(made, stub, subnet))
        watch.until("CREATED", "subnet", "blue")
        for other in cluster.servers[1:]:
            other.kill()
        wait_for(lambda: "is unreachable: its changes" in caplog.text)
        for other in cluster.servers[1:]:
            other.start(wait=False)
        subnet = subnets_pb2.Subnet(name="green", cidr="10.2.0.0/24")
        wait_for(partial(made, stub, subnet))
        assert watch.until("CREATED", "subnet", "green") == [("CREATED", "subnet", "green")]
        assert caplog.text.count("is unreachable: its changes") == 1


def test_which_server_is_asked() -> None:
    """One that is part of its cluster and knows what was told; a database by itself has no log to be behind in."""

    def says(replica: Replica, **row: Any) -> bool:
        other = {"name": "_Server", "connected": False, "index": 1}
        return replica._check({"Database": {"x": {"new": other}, "y": {"new": {"name": "N", **row}}}})

    replica = Replica("unix:/nonexistent/s", "N", {})
    assert says(replica, connected=True, index=["set", []])
    assert says(replica, connected=True, index=7)
    assert says(replica, connected=True, index=7)
    assert not says(replica, connected=True, index=6)
    assert not says(replica, connected=False, index=8)
    assert says(replica, connected=True, index=8)
    assert replica._check({})
