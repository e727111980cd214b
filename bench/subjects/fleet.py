"""The control service of 200 hosts: memory and processor time with their agents' streams, and a restart."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.load import agent_streams, population, usage
from bench.load.population import soon
from bench.load.sites import NORTHBOUND, NewDomain, Site, calls_of, hook_argv, sites
from bench.report.measurement import Measurement, Target, compare, measured
from lab import LabCloud, LabHost
from lab.certificates import node_credentials
from lab.process import Process
from lab.product import PYTHON
from lab.waiting import HANG, until
from ovnhook.agent.control import ControlService
from ovnhook.api.calls import Calls
from ovnhook.api.channels import Method
from ovnhook.api.grpc.health.v1 import health_pb2
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.chassis import Report

_HOSTS = 200
_STARTS = 50
_TIMES = 5
_REPORTS = 3  # times
_WINDOW = 20.0  # seconds in which processor time is counted
_SETTLED = 30.0  # seconds after which the control service has checked, repaired and scheduled what it starts with
_RESTARTS = 7
_CHECK = Method("grpc.health.v1.Health", "Check", health_pb2.HealthCheckResponse, is_idempotent=True)


def measure() -> Iterator[Measurement]:
    """The rows of a control service with 10,000 ports and 200 agents, and those of a restart."""
    with LabCloud(f"b{os.getpid()}", hypervisors=1) as cloud:
        yield from _streams(cloud)
    with sites(1) as (site,):
        yield from _restart(site)


def _streams(cloud: LabCloud) -> Iterator[Measurement]:
    control = cloud.control
    for host in (control, *cloud.hypervisors):
        for name in ("agent", "ovn-controller"):
            host.daemons[name].stop()
    control.daemons["northd"].stop()
    northbound = Northbound(f"unix:{control.outside_path(NORTHBOUND)}")
    subnets = population.make_subnets(northbound, population.HUNDRED)
    population.attach(northbound, subnets, population.domains(population.PORTS), "host{}", _HOSTS)
    for number in range(_HOSTS):
        control.run(["ovn-sbctl", "create", "Chassis_Private", f"name=host{number}"])
    control.daemons["control"].restart()
    process = _process(control)
    time.sleep(_SETTLED)
    service, without = ControlService(calls_of(control)), "without agents"
    what = f"control service, {population.PORTS:,} ports, {_HOSTS} agents"
    memory, idle = usage.memory(process), usage.load(process, _WINDOW)
    alone = _starts(service, process)
    with _following(cloud):
        time.sleep(_SETTLED)
        yield compare("fleet", f"{what}, memory", without, [usage.memory(process)], [memory], target=None, unit="MB")
        loads = [usage.load(process, _WINDOW) for _ in range(_TIMES)]
        yield compare("fleet", f"{what}, load while nothing changes", without, loads, [idle], target=None, unit="%")
        yield compare(
            "fleet", f"{what}, processor time of a start", without, _starts(service, process), alone, target=None
        )  # fmt: skip
        reports = [_report(service, process) for _ in range(_REPORTS)]
        yield measured("fleet", f"{what}, processor time of a report", reports, "ms", runs=_REPORTS * _HOSTS)


def _starts(service: ControlService, process: Process) -> list[float]:
    """Milliseconds of processor time of a start on one of the hosts, of some at once."""
    found = []
    for number in range(_TIMES):
        some, host = population.domains(population.PORTS + _STARTS)[population.PORTS :], f"host{number}"
        before = usage.processor_time(process)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(partial(service.attach, host=host, deadline=soon(), running=False), some))
        time.sleep(0.5)  # until the streams have it
        found.append((usage.processor_time(process) - before) / _STARTS)
        for one in some:
            service.detach(one, host, soon())
            service.release_leases(one, host, soon())
    return found


def _report(service: ControlService, process: Process) -> float:
    """Milliseconds of processor time of a report, of one of each host."""
    before = usage.processor_time(process)
    for number in range(_HOSTS):
        service.report(f"host{number}", Report("1", "3.1.0", (), (), 1442), soon())
    return (usage.processor_time(process) - before) / _HOSTS


@contextmanager
def _following(cloud: LabCloud) -> Iterator[None]:
    """Follow the streams of all hosts, from a hypervisor."""
    program = str(Path(agent_streams.__file__).resolve())
    child = cloud.hypervisors[0].popen([PYTHON, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        names = [f"host{number}" for number in range(_HOSTS)]
        agents = [(name, *(file.decode() for file in node_credentials(cloud.authority, name))) for name in names]
        child.stdin.write(json.dumps({"server": cloud.api(cloud.control.name), "agents": agents}).encode() + b"\n")
        child.stdin.flush()
        if not child.stdout.readline():
            raise RuntimeError("the streams ended")
        yield
    finally:
        child.kill()
        child.wait()


def _restart(site: Site) -> Iterator[Measurement]:
    """End and start the control service, and at once start many domains."""
    population.make_subnets(site.northbound, ["10.9.0.0/18"])
    site.host.daemons["libvirtd"].pause()  # it knows none of the domains
    control, calls = site.host.daemons["control"], calls_of(site.host)
    answered, started, late = [], [], []
    for _ in range(_RESTARTS):
        some, old = [NewDomain.new() for _ in range(_STARTS)], _process(site.host)
        with ThreadPoolExecutor(2) as pool:
            began = time.perf_counter()
            restart = pool.submit(control.restart)
            answer = pool.submit(_answer, calls, old, began)
            hooks = site.run(*[hook_argv("prepare")] * _STARTS, given=[one.xml for one in some])
            started.append(1000 * (time.perf_counter() - began))
            answered.append(answer.result())
            restart.result()
        if any(hooks.codes):
            raise RuntimeError(f"hooks failed: {hooks.said}")
        late.append(sum(map(bool, hooks.said)))
        for one in some:
            site.forget(one.uuid)
    what = f"control service restarted, {_STARTS} VMs start meanwhile"
    yield measured("fleet", f"{what}: until its next answer", answered, "ms", Target("≤", 2000, "ms"))
    yield measured("fleet", f"{what}: until all have started", started, "ms")
    yield measured("fleet", f"{what}: started without network", [max(late)], target=Target("=", 0, ""), runs=_RESTARTS)


def _answer(calls: Calls, old: Process, began: float) -> float:
    """Milliseconds until the control service answers again."""
    until(lambda: not old.alive, HANG, "the end of the control service", longest=0.005)
    calls.call(_CHECK, health_pb2.HealthCheckRequest(), soon())
    return 1000 * (time.perf_counter() - began)


def _process(host: LabHost) -> Process:
    """The control service of a host."""
    found = host.daemons["control"].process
    assert found is not None
    return found
