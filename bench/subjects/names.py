"""Latency of host names: from the attach of a new domain until a guest of another host resolves its name."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.load import name_client, population
from bench.load.population import soon
from bench.load.sites import NORTHBOUND, calls_of
from bench.report.measurement import Measurement, Target, measured
from lab import LabCloud, LabHost
from lab.product import PYTHON
from ovnhook.api.calls import Calls
from ovnhook.api.channels import Method
from ovnhook.api.v1 import attachments_pb2 as api
from ovnhook.base.errors import Conflict
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.resources.subnet.values import Subnet

_TIMES = 20
_ATTEMPTS = 5
_SUBNET, _CLIENT = "blue", "client"
_ATTACH = Method("ovnhook.v1.Attachments", "Attach", api.AttachResponse, is_idempotent=True)
_TARGET = Target("≤", 1000, "ms")


def measure() -> Iterator[Measurement]:
    """Latency with few names, and with as many as a large cloud has."""
    with LabCloud(f"b{os.getpid()}", hypervisors=2) as cloud:
        cloud.control.run(["ovnhook", "subnet", "create", _SUBNET, "10.10.0.0/16", "--default"])
        northbound = Northbound(f"unix:{cloud.control.outside_path(NORTHBOUND)}")
        calls = calls_of(cloud.control)
        (subnet,) = northbound.cloud(soon()).of(Subnet)
        guest, *others = population.domains(population.PORTS + 2 * _TIMES + 1)
        with _client(cloud.host("hv1"), _attach(calls, guest, "hv1"), subnet) as client:
            _wait_for(client, guest)
            cloud.control.daemons["northd"].stop()  # its work for the ports is not measured
            few = [_time(calls, client, one) for one in others[:_TIMES]]
            _attach_many(northbound, others[2 * _TIMES :])
            _wait_for(client, others[-1])
            many = [_time(calls, client, one) for one in others[_TIMES : 2 * _TIMES]]
    what = "new VM, until a guest of another host resolves its name"
    yield measured("names", what, few, "ms", _TARGET)
    yield measured("names", f"{what}, {population.PORTS:,} names", many, "ms", _TARGET)


@contextmanager
def _client(host: LabHost, port: api.AttachedInterface, subnet: Subnet) -> Iterator[subprocess.Popen[bytes]]:
    """Run the client in a network namespace with a port."""
    plugged = ["type=internal", f'mac="{port.mac}"', f'external_ids:iface-id="{port.id}"']
    address = f"{port.addresses[0]}/{subnet.cidr.prefixlen}"
    for argv in (
        ["ovs-vsctl", "add-port", "br-int", _CLIENT, "--", "set", "Interface", _CLIENT, *plugged],
        ["ip", "netns", "add", _CLIENT],
        ["ip", "link", "set", _CLIENT, "netns", _CLIENT],
        ["ip", "-n", _CLIENT, "link", "set", _CLIENT, "mtu", str(subnet.mtu), "up"],
        ["ip", "-n", _CLIENT, "address", "add", address, "dev", _CLIENT],
    ):
        host.run(argv)
    program = str(Path(name_client.__file__).resolve())
    argv = ["ip", "netns", "exec", _CLIENT, PYTHON, program, str(subnet.resolvers[0])]
    child = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _wait_for(client: subprocess.Popen[bytes], domain: Domain) -> float:
    """Wait until a name has an address; return the time on the monotonic clock."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(f"{domain.interfaces[0].request.hostname}\n".encode())
    client.stdin.flush()
    return float(client.stdout.readline())


def _attach(calls: Calls, domain: Domain, host: str) -> api.AttachedInterface:
    """Attach a domain that libvirt does not have, so that the host's agent keeps it."""
    (interface,) = domain.interfaces
    described = api.Interface(mac=interface.mac, hostname=interface.request.hostname, id=interface.interface_id)
    request = api.AttachRequest(domain=str(domain.uuid), name=domain.name, host=host, interfaces=[described])
    response: api.AttachResponse = calls.call(_ATTACH, request, soon())
    return response.interfaces[0]


def _attach_many(northbound: Northbound, domains: list[Domain]) -> None:
    """Attach domains on other hosts. The control service may change the subnet meanwhile, after which it is read again.

    Raises:
        RuntimeError: not all are attached.
    """
    left = domains
    for _ in range(_ATTEMPTS):
        with suppress(Conflict):
            population.attach(northbound, northbound.cloud(soon()).of(Subnet), left, "other{}")
            return
        attached = {lease.domain for lease in northbound.leases(soon())}
        left = [one for one in left if one.uuid not in attached]
    raise RuntimeError(f"{len(left)} domains are not attached")


def _time(calls: Calls, client: subprocess.Popen[bytes], domain: Domain) -> float:
    """Milliseconds from an attach to the first answer."""
    began = time.monotonic()
    _attach(calls, domain, "hv2")
    return 1000 * (_wait_for(client, domain) - began)
