"""Costs of an agent: memory, the time until it is ready, others' changes, its own reconcile passes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from bench.load import population, usage
from bench.load.sites import NORTHBOUND, Site, sites
from bench.report.measurement import Measurement, Target, compare, measured
from lab import LabHost
from lab.central import SCHEMA
from lab.domain import domain_xml, interface_xml
from lab.hypervisor import remove_hook
from lab.process import Process
from lab.product import PYTHON, configure
from lab.waiting import HANG, accepts, until
from ovnhook.agent import libvirtfiles
from ovnhook.base.config import AGENT_SOCKET
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import Domain
from ovnhook.resources.kind import Put
from ovnhook.resources.port.kind import PORT

_OWN = 100
_FEW = "/run/ovn/few.sock"
_TIMES = 7
_TIMES_CHANGED = 3
_WINDOW = 8.0  # seconds in which processor time is counted
_RATE = 100  # changes a second
_SETTLED = 3.0  # seconds after which a reconcile pass is over
_TIMEOUT = 60.0


def measure() -> Iterator[Measurement]:
    """The rows of the agent: of a hypervisor with 100 domains, in a cloud of these alone and in one of 10,000."""
    with sites(1) as (site,), _second_northbound(site.host) as few:
        site.host.daemons["agent"].stop()
        remove_hook(site.host)
        domains = _start_domains(site.host)
        for northbound in (few, site.northbound):
            subnets = population.make_subnets(northbound, population.HUNDRED)
            population.attach(northbound, subnets, domains, site.host.name)
        population.attach(site.northbound, subnets, population.domains(population.PORTS - _OWN), "other{}")
        yield from _compared(site)


def _compared(site: Site) -> Iterator[Measurement]:
    ready: dict[str, list[float]] = {_FEW: [], NORTHBOUND: []}
    memory: dict[str, list[float]] = {_FEW: [], NORTHBOUND: []}
    passes: dict[str, list[float]] = {_FEW: [], NORTHBOUND: []}
    for _ in range(_TIMES):
        for path in (_FEW, NORTHBOUND):
            configure(site.host, {"northbound": f"unix:{path}"})
            site.host.daemons["control"].restart()
            with _agent(site.host) as (agent, seconds):
                ready[path].append(1000 * seconds)
                _wait_for_stream(site.host)
                passes[path].append(1000 * _check(site.host))
                memory[path].append(usage.memory(agent))
    with_none = "the same with 0 others"
    for what, found, limit, unit in (
        ("memory", memory, 1.1, "MB"),
        ("until it is ready", ready, 1.3, "ms"),
    ):
        yield compare(
            "agent", f"agent, {what}, 10,000 ports of which 100 are its own", with_none, found[NORTHBOUND], found[_FEW],
            target=Target("≤", limit), unit=unit,
        )  # fmt: skip
    one = f"a full reconcile of {_OWN} domains, 10,000 ports"
    yield measured("agent", one, passes[NORTHBOUND], "ms", Target("≤", 1000, "ms"))
    with _agent(site.host) as (agent, _):
        _wait_for_stream(site.host)
        time.sleep(_SETTLED)
        idle, changed = [], []
        for number in range(_TIMES_CHANGED):
            idle.append(usage.load(agent, _WINDOW))
            with _changes(site.northbound, number):
                changed.append(usage.load(agent, _WINDOW))
    yield compare(
        "agent", f"agent, processor time while {_RATE} ports a second of others change", "idle", changed, idle,
        target=Target("≤", 1.0, "%"), unit="%",
    )  # fmt: skip


@contextmanager
def _second_northbound(host: LabHost) -> Iterator[Northbound]:
    """Another northbound database on a host, at `_FEW`."""
    file = host.folder / "ovn" / "few.db"
    host.run(["ovsdb-tool", "create", str(file), str(SCHEMA / "ovn-nb.ovsschema")])
    argv = ["ovsdb-server", "-vsyslog:off", f"--remote=punix:{_FEW}", "--unixctl=/run/ovn/few.ctl", str(file)]
    host.spawn("few", argv, ready=lambda _: accepts(host.outside_path(_FEW)))
    yield Northbound(f"unix:{host.outside_path(_FEW)}")


def _start_domains(host: LabHost) -> list[Domain]:
    """Start paused domains, without a hook."""

    def start(number: int) -> Domain:
        name = f"own{number}"
        nic = interface_xml(f"52:54:00:be:cc:{number:02x}", interface_id=str(UUID(int=number + 1)))
        host.run(["virsh", "define", "/dev/stdin"], input=domain_xml(name, [nic], memory=32, dhcp="none"))
        host.run(["virsh", "start", "--paused", name], timeout=_TIMEOUT)
        return DomainXML(host.run(["virsh", "dumpxml", name]).stdout.encode()).domain("br-int", libvirtfiles.network)

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(start, range(_OWN)))


@contextmanager
def _agent(host: LabHost) -> Iterator[tuple[Process, float]]:
    """Run an agent; yields it with its startup time in seconds."""
    place = host.outside_path("/run/ovnhook/notify")
    environment = {"NOTIFY_SOCKET": "/run/ovnhook/notify"}  # sd_notify(3)
    with (host.logs / "agent.log").open("ab") as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place))
        listener.settimeout(_TIMEOUT)
        began = time.perf_counter()
        child = host.popen([PYTHON, "-m", "ovnhook.agent"], stdout=log, stderr=log, environment=environment)
        while b"READY=1" not in listener.recv(4096):
            pass
        took = time.perf_counter() - began
    place.unlink()
    process = Process.of(child.pid)
    assert process is not None
    try:
        yield process, took
    finally:
        child.terminate()
        child.wait(_TIMEOUT)


def _wait_for_stream(host: LabHost) -> None:
    """Wait until the agent has all objects of its host."""

    def is_there() -> bool:
        try:
            _check(host)
        except RuntimeError:
            return False
        return True

    until(is_there, HANG, "the agent to follow the control service")


def _check(host: LabHost) -> float:
    """Seconds of a check without differences.

    Raises:
        RuntimeError: something does, or can't be compared.
    """
    began = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(_TIMEOUT)
        agent.connect(str(host.outside_path(str(AGENT_SOCKET))))
        agent.sendall(b"check %f\n" % time.monotonic())
        agent.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: agent.recv(1 << 16), b""))
    took = time.perf_counter() - began
    _, code, message = answer.split(b"\n", 2)
    if code != b"0" or message != b"[]":
        raise RuntimeError(f"a check says {message.decode()}")
    return took


@contextmanager
def _changes(northbound: Northbound, number: int) -> Iterator[None]:
    """Move ports between other hosts in the background."""
    stop = threading.Event()
    ports = [port for port in northbound.ports(population.soon()) if port.domain_name.startswith("other")]

    def change() -> None:
        started = time.monotonic()
        for count, port in enumerate(ports):
            if stop.wait(max(0.0, started + count / _RATE - time.monotonic())):
                return
            northbound.commit([Put(PORT, port, replace(port, host=f"another{number}"))], population.soon())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
