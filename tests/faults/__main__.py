"""``python3 -m tests.faults``: runs the cells of the fault matrix that have not been run, and writes the page."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable

from tests.faults import results
from tests.faults.matrix import CELLS, Cell
from tests.faults.runner import cell_runner, versions


def main() -> int:
    """Run; the exit status says whether every cell holds."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.faults", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="WORD", help="only cells with this in their name; run anew")
    parser.add_argument("--anew", action="store_true", help="run again what was run")
    parser.add_argument("--failed", action="store_true", help="run again what did not hold")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="labs side by side (1)")
    parser.add_argument("--prefix", default=f"f{os.getpid() % 10**8}", help="of the labs")
    parser.add_argument("--only-render", action="store_true", help="write the page and run nothing")
    given = parser.parse_args()
    if not given.only_render:
        known = {} if given.anew else results.read()
        again = {name for name, result in known.items() if given.failed and result.wrong}
        chosen = [
            cell
            for cell in CELLS
            if cell.same_as == cell
            and (
                any(word in cell.name for word in given.cells) if given.cells else cell.name not in known.keys() - again
            )
        ]
        print(f"{len(chosen)} cells", flush=True)
        try:
            _run(chosen, given.jobs, given.prefix)
        except KeyboardInterrupt:
            print("stopped: what was run is kept")
    found = results.read()
    results.rewrite(found)
    results.PAGE.write_text(results.render(found), encoding="utf-8")
    return int(any(result.wrong for result in found.values()))


def _run(cells: Iterable[Cell], jobs: int, prefix: str) -> None:
    left: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        left.put(cell)
    writing = threading.Lock()
    threads = [
        threading.Thread(target=_work, args=(left, f"{prefix}{chr(ord('a') + n)}", writing)) for n in range(jobs)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        while not left.empty():
            left.get()
        for thread in threads:
            thread.join()
        raise


def _work(left: queue.SimpleQueue[Cell], prefix: str, writing: threading.Lock) -> None:
    """Run cells until none is left, in a lab that is made anew after each that did not hold."""
    while not left.empty():
        with cell_runner(prefix) as runner:
            version = versions(lambda command: runner.world.hv1.run(command).stdout)
            wrong: list[str] = []
            while not wrong:
                try:
                    cell = left.get(block=False)
                except queue.Empty:
                    return
                began = time.monotonic()
                try:
                    wrong = runner.run(cell)
                except Exception as error:  # whatever it is: it is what the cell said, and the others are run
                    wrong = [f"{type(error).__name__}: {error}"]
                with writing:
                    results.append(results.Result(cell.name, tuple(wrong), version))
                    print(f"{cell.name}: {'; '.join(wrong) or 'holds'} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
