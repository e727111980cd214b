"""A cloud on one machine: a control host, hypervisors and an external host in network and mount namespaces.

Used by the demo, the tests, the benchmarks and by hand (``lab/lab --help``).
"""

from lab.cloud import LabCloud
from lab.daemon import Daemon
from lab.errors import CommandError, LabError, WaitError
from lab.guest import Guest, Ping
from lab.host import LabHost

__all__ = ["CommandError", "Daemon", "Guest", "LabCloud", "LabError", "LabHost", "Ping", "WaitError"]
