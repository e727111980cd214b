"""What the cells said, kept as lines of JSON, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.cells import CELLS, FAILURES, TRAFFIC, Cell, Fault, Part, Situation

REPO = Path(__file__).resolve().parent.parent.parent
PAGE = REPO / "docs" / "evidence" / "fault-matrix.md"
RESULTS = REPO / "docs" / "evidence" / "fault-matrix.jsonl"


@dataclass(frozen=True)
class Result:
    """What a cell said.

    Attributes:
        cell: its name.
        wrong: what did not hold, in words; empty when all did.
        versions: of what it was run with.
    """

    cell: str
    wrong: tuple[str, ...]
    versions: str


def read(path: Path = RESULTS) -> dict[str, Result]:
    """The last result of each cell that was run."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        found[values["cell"]] = Result(values["cell"], tuple(values["wrong"]), values["versions"])
    return found


def append(result: Result, path: Path = RESULTS) -> None:
    """Note a result down."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def rewrite(results: Mapping[str, Result], path: Path = RESULTS) -> None:
    """One line for each cell, in the order of the cells."""
    lines = [json.dumps(asdict(results[cell.name])) for cell in CELLS if cell.name in results]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def render(results: Mapping[str, Result]) -> str:
    """The page."""
    own = [cell for cell in CELLS if cell.same_as == cell]
    run = [cell for cell in own if cell.name in results]
    good = [cell for cell in run if not results[cell.name].wrong]
    versions = sorted({results[cell.name].versions for cell in run})
    parts = [
        _HEAD,
        f"{len(good)} of {len(run)} cells that were run hold; {len(own) - len(run)} of {len(own)} have not been run.\n",
    ]
    for fault in Fault:
        parts.append(f"\n## {fault.title[0].upper()}{fault.title[1:]}\n\n{_table(fault, results)}")
    parts.append(f"\n## What did not hold\n\n{_failures(results)}")
    parts.append("\n## Where a guest's traffic may stop\n\n| | | why |\n| --- | --- | --- |\n")
    parts += [f"| {part.title} | {fault.value} | {why} |\n" for (part, fault), (_, why) in TRAFFIC.items()]
    parts.append("\n## Where the start, destroy or migration itself may fail\n\n| | | why |\n| --- | --- | --- |\n")
    parts += [f"| {part.title} | {fault.value} | {why} |\n" for (part, fault), why in FAILURES.items()]
    parts.append("\n## How it was run\n\n" + _HOW + "".join(f"- {version}\n" for version in versions))
    return "".join(parts)


def _table(fault: Fault, results: Mapping[str, Result]) -> str:
    lines = [
        "| | " + " | ".join(situation.value for situation in Situation) + " | traffic |",
        "| --- |" + " --- |" * (len(Situation) + 1),
    ]
    for part in Part:
        cells = [Cell(part, fault, situation) for situation in Situation]
        if cells[0] not in CELLS:
            continue
        marks = [_mark(cell, results) for cell in cells]
        lines.append(f"| {part.title} | {' | '.join(marks)} | {cells[0].traffic.value} |")
    return "\n".join(lines) + "\n"


def _mark(cell: Cell, results: Mapping[str, Result]) -> str:
    result = results.get(cell.same_as.name)
    if result is None:
        return "·"
    mark = "✗" if result.wrong else "✓"
    return mark if cell.same_as == cell else f"({mark})"


def _failures(results: Mapping[str, Result]) -> str:
    failed = [results[cell.name] for cell in CELLS if cell.name in results and results[cell.name].wrong]
    if not failed:
        return "Nothing.\n"
    return (
        "".join(
            f"### {one.cell}\n\n" + "".join(f"- {_line(wrong)}\n" for wrong in one.wrong) + "\n" for one in failed
        ).rstrip("\n")
        + "\n"
    )


def _line(text: str) -> str:
    """On one line, with nothing that Markdown would take for its own."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


_HEAD = """\
# The fault matrix

Made by `make fault-matrix`: do not edit. What each part of the cloud can do to it, in each way in which it can break,
and what somebody can who writes into the northbound database by hand: while guests run and while a domain starts, is
destroyed, or migrates. In each cell that is ✓:

- a guest that runs keeps its traffic, where OVN itself keeps it (last column; the reasons are below);
- libvirt answers: no call of virsh outlasts the fault by more than the deadline and what a slow machine needs;
- what was begun is done, unless libvirt itself can't do it (below), and then it fails cleanly;
- within half a minute after the fault is gone, every domain that libvirt says runs has its port, address, lease, name,
  tap and binding, on the right host, and there is no other port, lease, name or tap. Nobody does anything by hand;
- what is somebody else's, on our rows and beside them, is still there, and nothing has taken any notice of it;
- a row of ours that was deleted or changed is reported by `ovnhook status` until the control service has repaired it,
  is not said to be repaired before, and then guests get an answer by DHCP and from outside.

✓ holds, ✗ does not, · has not been run; in brackets: the same cell as another's (a cable is pulled out of a host once,
whichever of the host's daemons is meant).

"""

_HOW = """\
In the lab ([lab/README.md](../../lab/README.md)): a control host and two hypervisors on one machine, the userspace
datapath, guests with software emulation and 96 MiB. The fault begins at the same step each time: libvirt is held there
by a hook of the test's own. kill and restart come after our hook has answered `prepare` of a start, the other two
before; all come before `stopped` of a destroy, and after `started` on the destination of a migration (memory has not
been copied yet). A whole hypervisor that is killed loses its processes, guests included, and what is in `/run`; one
that is restarted ends its guests first. The cable is the management network's, ovs-vswitchd's is the tunnels', a whole
hypervisor's are both; in the lab libvirt migrates past them. Another domain's QEMU is stopped while `virsh domstats`
asks it something; another hook waits in `prepare` of another domain. Meanwhile a name of a guest of the same host is
removed, and the fault lasts until that is repaired.

Rows are written with `ovn-nbctl`, before our hook has answered. Added are a key in the `external_ids` of each row of
ours; a DNS row on the subnet's switch, and a name in our own one that leads to nobody, which has to go; and a chassis
that does not exist, before ours, in the HA group of the router's way out. They stay until the domain is undefined.
Deleted or changed are the subnet's DHCP options, its switch and its router's port. This lasts until the row and what
went with it are repaired: the control service looks at its rows every 10 s, an agent at its guests' ports every minute.

"""
