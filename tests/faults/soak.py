"""``python3 -m tests.faults.soak``: domains come, go and migrate, parts break, and nothing is left wrong."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lab import CommandError, LabError, LabHost
from lab.domain import interface_xml
from lab.waiting import HANG
from tests.faults import resource_usage
from tests.faults.injection import Injection
from tests.faults.runner import HALF_A_MINUTE, CellRunner, cell_runner
from tests.faults.workload import BREAKDOWNS, DOMAINS, KEEPING_PROCESSES, Action, Round, Verb, workload

PAUSED = ("four", "five")
"""The domains that are started without running: a hypervisor full of guests that boot has no time for anything else."""

_SIDE_BY_SIDE = 3
_PLUGGED = "52:54:00:50:00:{:02x}"


def main() -> int:
    """Run; the exit status says whether nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="how long (1800)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"), help="of what is done")
    parser.add_argument("--prefix", default=f"s{os.getpid() % 10**8}", help="of the lab")
    given = parser.parse_args()
    print(f"seed {given.seed}: the same again with SEED={given.seed}", flush=True)
    with cell_runner(given.prefix) as runner:
        soak = Soak(runner, lambda line: print(line, flush=True))
        wrong = soak.run(given.seed, given.seconds)
        if wrong:
            print(runner.world.cloud.logs())
    for line in (*soak.summary(), *(wrong or ["nothing is wrong"])):
        print(line)
    return int(bool(wrong))


class Soak:
    """One run.

    Args:
        runner: of a lab.
        say: told what is done, line by line.
    """

    def __init__(self, runner: CellRunner, say: Callable[[str], None]) -> None:
        self._runner, self._world = runner, runner.world
        self._say = say
        self._done: defaultdict[str, int] = defaultdict(int)
        self._summary: list[str] = []

    def run(self, seed: int, seconds: float) -> list[str]:
        """Do the workload of a seed for that long, or until something is wrong; what that is, in words.

        In the first half agents and the control service crash, too. In the second they live on, and may use no more in
        the end than before.
        """
        for title, breakdowns in (("crashes", BREAKDOWNS), ("without crashes", KEEPING_PROCESSES)):
            wrong = self._part(workload(seed, breakdowns), title, seconds / 2, breakdowns is KEEPING_PROCESSES)
            if wrong:
                return [f"seed {seed}, {line}" for line in wrong]
        return []

    def _part(self, rounds: Iterable[Round], title: str, seconds: float, processes_live: bool) -> list[str]:
        warm_up = Round(tuple(Action(verb, name, "hv1") for name in DOMAINS[2:] for verb in _ONCE), None)
        wrong = self._round(warm_up, f"{title}, warming up")
        if wrong:
            return wrong
        before = self._quiet()
        if not processes_live:
            before = replace(before, processes={})
        end = time.monotonic() + seconds
        for number, one in enumerate(rounds, 1):
            if time.monotonic() > end:
                break
            wrong = self._round(one, f"{title}, round {number}")
            if wrong:
                return wrong
        last = Round(tuple(Action(verb, name, "hv1") for name in DOMAINS for verb in _LAST), None)
        wrong = self._round(last, f"{title}, end")
        after = self._quiet(before)
        self._summary = list(resource_usage.table(before, after))
        return [*wrong, *(f"{title}: {line}" for line in resource_usage.grown(before, after))]

    def summary(self) -> Iterator[str]:
        """What was done, and what our daemons took before and after."""
        yield ", ".join(f"{count} x {what}" for what, count in sorted(self._done.items()))
        yield from self._summary

    def _round(self, one: Round, title: str) -> list[str]:
        """Do a round, and wait until all is as it should be; what is not, in words."""
        self._say(f"{title}: {one}")
        wrong = [*self._do(one), *self._runner.heals()]
        try:
            self._world.ovnhook("lease", "list")
        except LabError as error:
            wrong.append(str(error))
        return [f"{title}: {line}" for line in wrong]

    def _quiet(self, before: resource_usage.ResourceUsage | None = None) -> resource_usage.ResourceUsage:
        """The footprint, when what ends by itself has ended."""
        # Before there is anything to compare with, nothing says when that is: it takes half a minute at most.
        end = time.monotonic() + (HALF_A_MINUTE if before is None else self._runner.within)
        while True:
            found = resource_usage.measure(self._world)
            if time.monotonic() > end or (before is not None and not resource_usage.grown(before, found)):
                return found
            time.sleep(1)

    def _do(self, one: Round) -> list[str]:
        """The steps of a round, while its fault lasts; what libvirt could not do though nothing was broken."""
        rows: defaultdict[str, list[Action]] = defaultdict(list)
        for step in one.steps:
            rows[step.domain].append(step)
        injection = None
        if one.fault:
            part, fault, host = one.fault
            injection = Injection(self._world.cloud, part, fault, self._world.cloud.host(host))
            self._done[f"{part.value} {fault.value}"] += 1
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            results = [pool.submit(self._row, row) for row in rows.values()]
            if injection:
                try:
                    injection.begin()
                    injection.hold()
                finally:
                    injection.end()
        failed = [error for result in results for error in result.result()]
        return [str(error) for error in failed if not one.fault or error.status is None]

    def _row(self, steps: Iterable[Action]) -> list[CommandError]:
        """What one domain does, and what did not work."""
        failed = []
        for step in steps:
            try:
                if self._step(step):
                    self._done[step.verb.value] += 1
            except CommandError as error:
                failed.append(error)
        return failed

    def _step(self, step: Action) -> bool:
        """Do one thing, if the domain is as it has to be for it; whether it was."""
        world, name = self._world, step.domain
        running, defined = self._where(name, "--state-running", "--state-paused"), self._where(name, "--all")
        if step.verb is Verb.START and running is None:
            host = world.cloud.host(step.host)
            if defined is not None and defined is not host:
                defined.run(["virsh", "undefine", name], timeout=HANG)
            if defined is not host:
                world.define(host, name, interface_xml(), dhcp="none", memory=80)
            paused = ["--paused"] if name in PAUSED else []
            host.run(["virsh", "start", *paused, name], timeout=HANG)
        elif step.verb is Verb.STOP and running is not None:
            running.run(["virsh", "destroy", name], timeout=HANG)
        elif step.verb is Verb.MIGRATE and running is not None:
            (target,) = (host.name for host in world.cloud.hypervisors if host is not running)
            follow = ("--persistent", "--undefinesource")
            running.run(world.cloud.migrate_argv(name, target, *follow), timeout=HANG)
        elif step.verb is Verb.UNDEFINE and running is None and defined is not None:
            defined.run(["virsh", "undefine", name], timeout=HANG)
        elif step.verb in (Verb.PLUG, Verb.UNPLUG) and running is not None:
            return self._plug(running, name, step.verb)
        else:
            return False
        return True

    def _plug(self, host: LabHost, name: str, verb: Verb) -> bool:
        """Plug one interface more in, or out."""
        mac = _PLUGGED.format(DOMAINS.index(name))
        if name in PAUSED:  # what is plugged out has to be let go of by the guest
            return False
        there = mac in host.run(["virsh", "domiflist", name], timeout=HANG).stdout
        if there == (verb is Verb.PLUG):
            return False
        command = "attach-device" if verb is Verb.PLUG else "detach-device"
        host.run(["virsh", command, name, "/dev/stdin", "--live"], input=interface_xml(mac), timeout=HANG)
        return True

    def _where(self, name: str, *states: str) -> LabHost | None:
        """The hypervisor that has a domain in one of some states, as virsh lists them."""
        for host in self._world.cloud.hypervisors:
            if name in host.run(["virsh", "list", "--name", *states], timeout=HANG).stdout.split():
                return host
        return None


_LAST = (Verb.STOP, Verb.UNDEFINE)
_ONCE = (Verb.START, Verb.MIGRATE, *_LAST)


if __name__ == "__main__":
    sys.exit(main())
