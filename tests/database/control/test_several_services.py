"""Several control services on one database: clients that want the same of different ones, at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.v1 import (
    floating_ips_pb2,
    floating_ips_pb2_grpc,
    routers_pb2,
    routers_pb2_grpc,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.control.server import ControlServer
from tests.database.control_service import Control

SERVICES, CLIENTS, ROUNDS = 3, 9, 20
OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")

Do = Callable[[grpc.Channel, int], Any]
"""What a client does: its channel and its number in, an answer out."""


@pytest.fixture
def channels(control: Control, directory: Path) -> Iterator[list[grpc.Channel]]:
    """Clients' channels, to all services in turn."""
    with ExitStack() as stack:
        paths = [control.path]
        for number in range(1, SERVICES):
            paths.append(directory / f"{number}.sock")
            service = ControlServer(paths[-1], control.config)
            stack.callback(service.stop)
            service.start()
        yield [
            stack.enter_context(grpc.insecure_channel(f"unix:{paths[number % SERVICES]}")) for number in range(CLIENTS)
        ]


def at_once(channels: list[grpc.Channel], do: Do) -> tuple[list[Any], Counter[str]]:
    """Let every client do it at the same time: the answers, and the statuses of those that got none."""
    ready = threading.Barrier(len(channels))
    refused: Counter[str] = Counter()

    def client(number: int) -> Any:
        ready.wait(HANG)
        try:
            return do(channels[number], number)
        except grpc.RpcError as error:
            refused[error.code().name] += 1
            return None

    with ThreadPoolExecutor(len(channels)) as pool:
        answers = [answer for answer in pool.map(client, range(len(channels))) if answer is not None]
    return answers, refused


def create_subnet(channel: grpc.Channel, name: str, cidr: str) -> Any:
    """Make one."""
    request = subnets_pb2.CreateSubnetRequest(subnet=subnets_pb2.Subnet(name=name, cidr=cidr))
    return subnets_pb2_grpc.SubnetsStub(channel).CreateSubnet(request, timeout=HANG)


def delete_subnet(channel: grpc.Channel, name: str) -> Any:
    """Delete one."""
    return subnets_pb2_grpc.SubnetsStub(channel).DeleteSubnet(subnets_pb2.DeleteSubnetRequest(name=name), timeout=HANG)


def create_router(channel: grpc.Channel, name: str, host: int) -> Any:
    """Make one that leads outside."""
    router = routers_pb2.Router(
        name=name, physical_network="external", address=f"203.0.113.{host}/24", next_hop="203.0.113.254"
    )
    return routers_pb2_grpc.RoutersStub(channel).CreateRouter(
        routers_pb2.CreateRouterRequest(router=router), timeout=HANG
    )


def create_floating(channel: grpc.Channel, address: str, target: str) -> Any:
    """Make one."""
    request = floating_ips_pb2.CreateFloatingIpRequest(address=address, target=target)
    return floating_ips_pb2_grpc.FloatingIpsStub(channel).CreateFloatingIp(request, timeout=HANG)


CONFLICTS: dict[str, Do] = {
    "one name, many networks": lambda to, n: create_subnet(to, "blue", f"10.{n}.0.0/24"),
    "many names, one network": lambda to, n: create_subnet(to, f"s{n}", "10.1.0.0/24"),
    "many names, networks that overlap": lambda to, n: create_subnet(to, f"s{n}", f"10.0.0.0/{16 + n}"),
    "one router, many addresses": lambda to, n: create_router(to, "lab", 11 + n),
    "many routers, one address": lambda to, n: create_router(to, f"r{n}", 11),
    "one floating IP, many domains": lambda to, n: create_floating(to, "203.0.113.20", f"web{n}"),
    "many floating IPs, one domain": lambda to, n: create_floating(to, f"203.0.113.{20 + n}", "web1"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFLICTS)
def test_one_wins(control: Control, channels: list[grpc.Channel], what: str) -> None:
    """And all others are told that somebody else has it; nothing half-made is left."""
    control.done("router", "set", "gateway", *OUTSIDE)
    if "floating" in what:
        control.done("subnet", "create", "inner", "172.16.0.0/24")
        for number in range(CLIENTS):
            control.stop(control.attach(f"web{number}", "inner", mac=f"52:54:00:00:01:{number:02x}"))
    answers, refused = at_once(channels, CONFLICTS[what])
    assert (len(answers), refused) == (1, {"ALREADY_EXISTS": CLIENTS - 1})
    kinds = {
        subnets_pb2.Subnet: ("subnet", "name"),
        routers_pb2.Router: ("router", "name"),
        floating_ips_pb2.FloatingIp: ("floating-ip", "address"),
    }
    noun, key = kinds[type(answers[0])]
    there = {row[key] for row in control.done(noun, "list", "--format", "json").json}
    assert there - {"inner", "gateway"} == {getattr(answers[0], key)}
    control.clear()


IDENTICAL: dict[str, Do] = {
    "subnet": lambda channel, _: create_subnet(channel, "blue", "10.1.0.0/24"),
    "router": lambda channel, _: create_router(channel, "lab", 11),
    "floating IP": lambda channel, _: create_floating(channel, "203.0.113.20", "web1"),
}


@pytest.mark.parametrize("what", IDENTICAL)
def test_all_want_the_same(control: Control, channels: list[grpc.Channel], what: str) -> None:
    """And have it."""
    if "floating" in what:
        control.done("router", "set", "gateway", *OUTSIDE)
        control.done("subnet", "create", "inner", "172.16.0.0/24")
        control.attach("web1", "inner")
    answers, refused = at_once(channels, IDENTICAL[what])
    assert (len(answers), refused) == (CLIENTS, {})
    assert all(answer == answers[0] for answer in answers)
    control.clear()


def test_to_make_and_delete(control: Control, channels: list[grpc.Channel]) -> None:
    """One subnet, made by some and deleted by others again and again: what is left is whole, or gone."""

    def either(channel: grpc.Channel, number: int) -> Any:
        for _ in range(ROUNDS):
            try:
                if number % 2:
                    create_subnet(channel, "blue", "10.1.0.0/24")
                else:
                    delete_subnet(channel, "blue")
            except grpc.RpcError as error:
                # Somebody may delete what was just made before it is shown.
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise

    _, refused = at_once(channels, either)
    assert refused == {}
    made = create_subnet(channels[0], "blue", "10.1.0.0/24")
    assert control.done("subnet", "list", "--format", "json").json[0]["cidr"] == made.cidr
    control.clear()
