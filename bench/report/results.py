"""Storage of the results in docs/evidence/performance.*: each run replaces the rows of its subjects."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.report import chart, table
from bench.report.measurement import Measurement

_EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"
_RECORDS = _EVIDENCE / "performance.json"
_CHART = _EVIDENCE / "performance.svg"
_PAGE = _EVIDENCE / "performance.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def keep(rows: Sequence[Measurement], order: Sequence[str]) -> None:
    """Write the rows as JSON, as a chart and into the page.

    Args:
        rows: of one or more subjects: all that is known of these.
        order: of the subjects.
    """
    measured = {row.subject for row in rows}
    known = [Measurement.of(record) for record in json.loads(_RECORDS.read_text())["rows"]] if _RECORDS.exists() else []
    kept = [row for row in known if row.subject in order and row.subject not in measured]
    every = sorted([*kept, *rows], key=lambda row: order.index(row.subject))
    records = {"measured_on": machine(), "rows": [row.record for row in every]}
    _RECORDS.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _CHART.write_text(chart.draw(every), encoding="utf-8")
    head, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    on = ", ".join(f"{name} {value}" for name, value in machine().items())
    _PAGE.write_text(f"{head}{_BEGIN}\n{table.markdown(every)}\nMeasured with {on}.\n\n{_END}{tail}", encoding="utf-8")


def machine() -> dict[str, str]:
    """Versions and size of this machine."""
    return {
        "processors": str(len(os.sched_getaffinity(0))),
        "Linux": platform.release().split("-")[0],
        "Python": platform.python_version(),
        "OVN": _version("ovn-nbctl"),
        "Open vSwitch": _version("ovs-vsctl"),
        "libvirt": _version("libvirtd"),
        "QEMU": _version("qemu-system-x86_64"),
    }


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    words = said.splitlines()[0].replace("(", " (").split()
    return next(word for word in words if word[0].isdigit())
