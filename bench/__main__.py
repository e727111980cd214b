"""``make bench``: run the benchmarks of all, or of named, subjects."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.report import results, table
from bench.report.measurement import Measurement
from bench.subjects import agent, control, fleet, groups, hook, hotplug, migration, names, port, scale, start

SUBJECTS: Mapping[str, Callable[[], Iterator[Measurement]]] = {
    "hook": hook.measure,
    "groups": groups.measure,
    "agent": agent.measure,
    "control": control.measure,
    "fleet": fleet.measure,
    "port": port.measure,
    "start": start.measure,
    "scale": scale.measure,
    "hotplug": hotplug.measure,
    "names": names.measure,
    "migration": migration.measure,
}


def main(names: Sequence[str]) -> int:
    """Measure, print and store rows; return the number of failed subjects."""
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        sys.exit(f"error: no subject {unknown[0]} (there are: {', '.join(SUBJECTS)})")
    print(table.line(), flush=True)
    failed = 0
    for name in names or SUBJECTS:
        found = []
        try:
            for row in SUBJECTS[name]():
                print(table.line(row.cells), flush=True)
                found.append(row)
            results.keep(found, list(SUBJECTS))
        except Exception:  # whatever it is, the other subjects are measured all the same
            traceback.print_exc()
            failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
