"""The control service, against ovsdbapp on a connection that has its replica already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import grpc
from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.ovn_northbound import impl_idl

from bench.load import population
from bench.load.sites import sites
from bench.report.measurement import Measurement, Target, compare
from ovnhook.api.v1 import ports_pb2, ports_pb2_grpc, subnets_pb2, subnets_pb2_grpc
from ovnhook.base.config import CONTROL_SOCKET
from ovnhook.ovsdb.owned import KIND
from ovnhook.resources.tables import SWITCH

_TIMES = 7
_SUBNETS = 10  # made at a time
_TIMEOUT = 60.0


def measure() -> Iterator[Measurement]:
    """Subnets made a second, and a list of 10,000 ports."""
    with sites(1) as (site,):
        subnets = population.make_subnets(site.northbound, population.HUNDRED)
        population.attach(site.northbound, subnets, population.domains(population.PORTS), "other{}")
        idl = connection.OvsdbIdl.from_server(site.remote, "OVN_Northbound")
        plain = impl_idl.OvnNbApiIdlImpl(connection.Connection(idl, timeout=int(_TIMEOUT)))
        with grpc.insecure_channel(f"unix:{site.host.outside_path(str(CONTROL_SOCKET))}") as channel:
            yield from _compared(channel, plain)
        plain.ovsdb_connection.stop()


def _compared(channel: grpc.Channel, plain: Any) -> Iterator[Measurement]:
    numbers = count()
    made, made_plainly, listed, listed_plainly = [], [], [], []
    for _ in range(_TIMES):
        made.append(_rate(lambda: _make(channel, next(numbers))))
        made_plainly.append(_rate(lambda: _make_plainly(plain, next(numbers))))
        listed.append(_list(channel))
        listed_plainly.append(_list_plainly(plain))
    yield compare(
        "control", "control service, subnets created, 10,000 ports", "ovsdbapp with a replica", made, made_plainly,
        target=Target("≥", 0.5), unit="/s",
    )  # fmt: skip
    yield compare(
        "control", "control service, list of 10,000 ports", "ovsdbapp with a replica", listed, listed_plainly,
        target=Target("≤", 2.0),
    )  # fmt: skip


def _rate(work: Any) -> float:
    began = time.perf_counter()
    for _ in range(_SUBNETS):
        work()
    return _SUBNETS / (time.perf_counter() - began)


def _make(channel: grpc.Channel, number: int) -> None:
    asked = subnets_pb2.Subnet(name=f"made{number}", cidr=_cidr(number), router="gateway")
    subnets_pb2_grpc.SubnetsStub(channel).CreateSubnet(subnets_pb2.CreateSubnetRequest(subnet=asked), timeout=_TIMEOUT)


def _make_plainly(plain: Any, number: int) -> None:
    """The rows that a subnet consists of, and its DNS records for the guests of all others; no reads before."""
    name, cidr = f"plain{number}", _cidr(number)
    gateway = cidr.replace(".0/24", ".1")
    mac = "0a:00:00:00:{:02x}:{:02x}".format(*divmod(number, 256))
    options = {"server_id": gateway, "server_mac": mac, "lease_time": "3600", "mtu": "1442", "router": gateway}
    with plain.transaction(check_error=True) as transaction:
        transaction.add(plain.ls_add(name, external_ids={"cidr": cidr}))
        transaction.add(plain.db_create("DHCP_Options", cidr=cidr, options=options, external_ids={"subnet": name}))
        names = transaction.add(plain.db_create("DNS", external_ids={"subnet": name}))
        transaction.add(plain.lrp_add("gateway", f"lrp-{name}", mac, [f"{gateway}/24"]))
        peer = {"type": "router", "addresses": "router", "options": {"router-port": f"lrp-{name}"}}
        transaction.add(plain.lsp_add(name, f"lsp-{name}", **peer))
    with plain.transaction(check_error=True) as transaction:
        for switch in plain.tables[SWITCH].rows.values():
            transaction.add(plain.db_add(SWITCH, switch.uuid, "dns_records", names.result))


def _cidr(number: int) -> str:
    return "10.{}.{}.0/24".format(*divmod(20 * 256 + number, 256))


def _list(channel: grpc.Channel) -> float:
    """Milliseconds until a client has all ports."""
    began = time.perf_counter()
    found, token = 0, None
    while token != "":
        page = ports_pb2_grpc.PortsStub(channel).ListPorts(
            ports_pb2.ListPortsRequest(page_token=token or ""), timeout=_TIMEOUT
        )
        found, token = found + len(page.ports), page.next_page_token
    took = time.perf_counter() - began
    if found != population.PORTS:
        raise RuntimeError(f"{found} ports are listed")
    return 1000 * took


def _list_plainly(plain: Any) -> float:
    """The same from the replica: every port with what the API has of it."""
    began = time.perf_counter()
    rows = plain.db_list("Logical_Switch_Port", columns=["name", "addresses", "up", "external_ids"]).execute(
        check_error=True
    )
    found = [row for row in rows if row["external_ids"].get(KIND) == "port"]
    took = time.perf_counter() - began
    if len(found) != population.PORTS:
        raise RuntimeError(f"{len(found)} ports are listed")
    return 1000 * took
