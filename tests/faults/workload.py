"""The workload of a soak, from its seed alone: the same seed, the same actions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from tests.faults.matrix import DAEMONS, Component, Fault, faults

DOMAINS = ("one", "two", "three", "four", "five")
HOSTS = ("hv1", "hv2")


class Verb(Enum):
    """An operation on a domain."""

    START = "start"
    STOP = "stop"
    MIGRATE = "migrate"
    PLUG = "plug"
    UNPLUG = "unplug"
    UNDEFINE = "undefine"


@dataclass(frozen=True)
class Action:
    """An operation on one domain, left out if it is impossible where the domain is.

    Attributes:
        verb: what.
        domain: its name.
        host: where it starts, or is plugged in; it is stopped, and migrated from, wherever it is.
    """

    verb: Verb
    domain: str
    host: str

    def __str__(self) -> str:
        return f"{self.verb.value} {self.domain}" + (f" on {self.host}" if self.verb is Verb.START else "")


@dataclass(frozen=True)
class Round:
    """Steps side by side, each domain's in a row, while something is broken; then all has to become as wanted.

    Attributes:
        steps: what is done.
        fault: what breaks, how, and of which hypervisor; None when nothing does.
    """

    steps: tuple[Action, ...]
    fault: tuple[Component, Fault, str] | None

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.steps))
        if self.fault is None:
            return steps
        part, fault, host = self.fault
        return f"{steps}; {part.value} {fault.value}" + ("" if part.central else f" on {host}")


Breakdown = tuple[Component, Fault]

_ENDS = (Fault.KILL, Fault.RESTART)
BREAKDOWNS = tuple(
    (part, fault)
    for part in DAEMONS
    for fault in faults(part)
    if part is not Component.HYPERVISOR or fault not in _ENDS
)
"""What may break in a soak. Guests are not lost, so that each round has some."""

KEEPING_PROCESSES = tuple(
    (part, fault)
    for part, fault in BREAKDOWNS
    if part not in (Component.AGENT, Component.CONTROL) or fault not in _ENDS
)
"""What may break while agents and the control service live on, so that what they lose is seen in the end."""

_WEIGHTS = {Verb.START: 5, Verb.STOP: 3, Verb.MIGRATE: 3, Verb.PLUG: 2, Verb.UNPLUG: 2, Verb.UNDEFINE: 1}


def workload(seed: int, breakdowns: Sequence[Breakdown]) -> Iterator[Round]:
    """The rounds of a seed, without an end; in every second one or so one of these breaks."""
    random = Random(seed)
    while True:
        chosen = random.choices([*_WEIGHTS], [*_WEIGHTS.values()], k=random.randint(2, 6))
        steps = tuple(Action(verb, random.choice(DOMAINS), random.choice(HOSTS)) for verb in chosen)
        broken = (*random.choice(breakdowns), random.choice(HOSTS)) if random.random() < 0.5 else None
        yield Round(steps, broken)
