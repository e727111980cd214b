"""The process ``ovnhook-agent``."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from sdnotify import SystemdNotifier

from ovnhook.agent.control import HostStream
from ovnhook.agent.firewallwatch import FirewallWatch
from ovnhook.agent.gatewayhost import GatewayHost
from ovnhook.agent.hooks import HookServer
from ovnhook.agent.host import Host
from ovnhook.agent.hostview import HostView, NetworkListeners
from ovnhook.agent.leasefile import LeaseFile
from ovnhook.agent.libvirtnetworks import LibvirtNetworks
from ovnhook.agent.locks import DomainLocks
from ovnhook.agent.nameservice import NameService
from ovnhook.agent.nexthops import NextHops
from ovnhook.agent.reconcile import Reconciler
from ovnhook.agent.report import HostReporter
from ovnhook.agent.uplinkwatch import UplinkWatch
from ovnhook.api.calls import Calls
from ovnhook.base import logs
from ovnhook.base.config import AGENT_SOCKET, load
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.base.liveness import Liveness
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains.inventory import Inventory
from ovnhook.hostnetwork.gatewaylink import GatewayLink
from ovnhook.hostnetwork.resolvers import Resolvers
from ovnhook.hostnetwork.switchports import SwitchPorts

_log = logging.getLogger("ovnhook.agent")

_TIMEOUT = 5.0  # seconds for one read of Open vSwitch
_KEEP_ALIVE_INTERVAL = 2.0  # seconds between answers to the database's inactivity probes, which time out after 5


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    logs.to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = load()
        calls = Calls.of_host(config)
        host = Host(config, calls)
        domains = DomainLocks()
        liveness = Liveness(
            ("hook", "reconcile", "node", "firewall", "networks", "leases", "gateway", "uplink", "names")
        )
        reconciler = Reconciler(config, host, HostStream(calls), domains, liveness.beat("reconcile"))
        firewall = FirewallWatch(liveness.beat("firewall"))
        gateway = GatewayHost(reconciler.view, GatewayLink(), liveness.beat("gateway"))
        networks = LibvirtNetworks(config, reconciler.view.networks, liveness.beat("networks"))
        leases = LeaseFile(config, partial(_inventory, host, reconciler.view), liveness.beat("leases"))
        uplink = UplinkWatch(reconciler.view.networks, liveness.beat("uplink"))
        next_hops = NextHops(reconciler.view.networks, config.integration_bridge)
        resolvers = Resolvers(SwitchPorts(config.vswitch, config.integration_bridge))
        names = NameService(reconciler.view, resolvers, liveness.beat("names"))
        parts = (reconciler, gateway, uplink, next_hops, firewall, networks, names)
        reporter = HostReporter(
            host,
            next_hops,
            lambda: tuple(problem for part in parts for problem in part.problems),
            lambda: gateway.state,
            lambda: networks.foreign,
            lambda: names.serves,
            liveness.beat("node"),
        )
        networks.on_scan(reporter.wake)
        networks.on_scan(leases.wake)  # libvirt removes the file with a network
        reconciler.view.listen(NetworkListeners(networks.wake, lambda _: leases.wake()))
        reconciler.view.listen(NetworkListeners(uplink.wake, lambda _: None))

        def check(*, repair: bool) -> list[CheckResult]:
            found = reconciler.check(repair=repair)
            checked = (gateway, uplink, next_hops, firewall, networks, names)
            return [*found, *(one for part in checked for one in part.check())]

        server = HookServer(AGENT_SOCKET, config, host, domains, reconciler.wake, check, liveness.beat("hook"))
    except OvnhookError as error:
        _log.error("%s", error)
        return error.exit_code
    loops: dict[str, Callable[[], None]] = {
        "hook": server.serve_forever,
        "view": reconciler.view.run,
        "reconcile": reconciler.run,
        "node": reporter.run,
        "firewall": firewall.run,
        "gateway": gateway.run,
        "uplink": uplink.run,
        "networks": networks.run,
        "leases": leases.run,
        "names": names.run,
    }
    for name, run in loops.items():
        threading.Thread(target=run, name=name, daemon=True).start()
    _log.info("serving on %s", AGENT_SOCKET)
    systemd = SystemdNotifier()  # sd_notify(3); no-op without systemd
    systemd.notify("READY=1")
    was_stuck: list[str] = []
    while not stop.wait(_KEEP_ALIVE_INTERVAL):
        stuck = liveness.stuck()
        if not stuck:
            systemd.notify("WATCHDOG=1")
        elif stuck != was_stuck:
            _log.error("loops without heartbeat: %s: systemd will restart the agent", ", ".join(stuck))
        was_stuck = stuck
        if host.vswitch.database.keep_alive():
            reconciler.wake()
    for part in (reporter, firewall, gateway, uplink, networks, leases, names, reconciler.view):
        part.stop()
    systemd.notify("STOPPING=1")
    server.shutdown()
    AGENT_SOCKET.unlink(missing_ok=True)
    return 0


def _inventory(host: Host, view: HostView) -> Inventory:
    """Objects of this host, as they are known now."""
    return view.inventory(host.vswitch.chassis(Deadline.after(_TIMEOUT)), Deadline.after(0.0))


if __name__ == "__main__":
    sys.exit(main())
