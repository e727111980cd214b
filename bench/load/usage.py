"""Memory and processor time of a process."""

from __future__ import annotations

import time
from pathlib import Path

from lab.process import Process


def memory(process: Process) -> float:
    """Memory of a process, in megabytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def processor_time(process: Process) -> float:
    """Processor time of a process so far, in milliseconds."""
    return 1000 * time.clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3)


def load(process: Process, seconds: float) -> float:
    """Load of a process during some seconds, in per cent of a core."""
    before, began = processor_time(process), time.perf_counter()
    time.sleep(seconds)
    return 0.1 * (processor_time(process) - before) / (time.perf_counter() - began)
