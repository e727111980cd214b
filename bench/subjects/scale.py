"""Scale of one control cluster: 10,000 ports on 200 hosts, simulated by their database sessions.

The databases and northd are real. The starts are the transactions of the control service; the ovn-controllers are
sessions that hear of every port (not of flows: 200 copies of these would be more than the machine has).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from netaddr import IPNetwork

from bench.load import population, southbound_sessions, usage
from bench.report.measurement import Measurement, measured
from lab import LabCloud, LabHost
from lab.waiting import until
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import select
from ovnhook.resources.subnet.request import Underlay

_HOSTS = 200
_OF_ONE = population.PORTS // _HOSTS
_AT_ONCE = 8  # starts at a time on one host
_TIMEOUT = 120.0
_DATABASES = {"nb": "the northbound server", "sb": "the southbound server", "northd": "northd"}


def measure() -> Iterator[Measurement]:
    """All VMs of one host stop and start again."""
    with LabCloud(f"b{os.getpid()}", hypervisors=1) as cloud:
        control = cloud.control
        for host in (control, *cloud.hypervisors):
            for name in ("agent", "ovn-controller"):
                host.daemons[name].stop()
        for name in ("control", "northd"):
            control.daemons[name].stop()
        northbound = Northbound(f"unix:{control.outside_path('/run/ovn/ovnnb_db.sock')}")
        made = population.make_subnets(northbound, population.HUNDRED)
        domains = population.domains(population.PORTS)
        population.attach(northbound, made, domains, "other{}", _HOSTS)
        control.daemons["northd"].start()
        southbound = control.outside_path("/run/ovn/ovnsb_db.sock")
        database = Database(f"unix:{southbound}", "OVN_Southbound")
        until(lambda: _ports(database) >= population.PORTS, _TIMEOUT, "the ports in the southbound database")
        _carried_out(control)
        with _sessions(southbound):
            yield from _restarted(control, northbound, domains[::_HOSTS])


def _restarted(control: LabHost, northbound: Northbound, domains: list[Domain]) -> Iterator[Measurement]:
    """Restart one host's domains."""
    attachment = Attachment(northbound, IPNetwork("10.224.0.0/12"), lambda _: Underlay())
    before = _took(control)
    began = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda one: attachment.detach(one, "other0", population.soon()), domains))
        list(pool.map(lambda one: attachment.attach(one, "other0", population.soon()), domains))
    written = time.perf_counter() - began
    _carried_out(control)
    carried_out = time.perf_counter() - began
    what = f"{_HOSTS} hosts, {population.PORTS:,} ports: {len(domains)} VMs of one host stopped and started"
    yield measured("scale", f"{what}, until NB has it", [1000 * written], "ms")
    yield measured("scale", "the same, until SB has it", [1000 * carried_out], "ms")
    for name, after in _took(control).items():
        yield measured("scale", f"the same, processor time of {_DATABASES[name]}", [after - before[name]], "ms")


def _ports(southbound: Database) -> int:
    (found,) = southbound.transact([select("Port_Binding", columns=["_uuid"])], population.soon())
    southbound.close()
    return len(found)


def _carried_out(control: LabHost) -> None:
    """Wait until northd has applied all changes."""
    control.run(["ovn-nbctl", "--wait=sb", f"--timeout={_TIMEOUT:.0f}", "sync"], timeout=_TIMEOUT)


def _took(control: LabHost) -> dict[str, float]:
    """CPU time of each central daemon, in milliseconds."""
    found = {}
    for name in _DATABASES:
        process = control.daemons[name].process
        assert process is not None
        found[name] = usage.processor_time(process)
    return found


@contextmanager
def _sessions(path: Path) -> Iterator[None]:
    """Run monitor sessions, from when they have the initial contents."""
    argv = [sys.executable, southbound_sessions.__file__, str(path), str(_HOSTS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listening:
        try:
            assert listening.stdout is not None
            if not listening.stdout.readline():
                raise RuntimeError("the sessions ended")
            yield
        finally:
            listening.kill()
