"""The command ``lab``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence

from lab import console, demo, state
from lab.cloud import LabCloud
from lab.domain import domain_xml
from lab.errors import CommandError, LabError

EXAMPLES = """\
examples:
  lab up                              a control host, hv1, hv2 and an external host
  lab list                            hosts, daemons, guests, logs
  lab run hv1 virsh list              a command on a host
  lab run control ovn-nbctl show
  lab run hv1                         a shell on a host
  lab xml web1 blue | lab run hv1 virsh define /dev/stdin
  lab console web1                    a guest's console (Ctrl-] leaves)
  lab guest web1 ping -c 3 10.0.0.1   a command in a guest
  lab daemon hv1 agent kill           simulate a crash
  lab logs hv1 agent
  lab add-hypervisor                  hv3
  lab down
  lab --prefix other up               a second lab beside the first
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("error: the lab makes namespaces: run it as root", file=sys.stderr)
        return 1
    try:
        return int(given.run(given) or 0)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (LabError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab",
        description="A cloud on one machine: a control host, hypervisors and an external host, in namespaces.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--prefix", default="ovnhook", help="the lab's name: small letters and digits (ovnhook)")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    up = verbs.add_parser("up", help="create a lab")
    up.add_argument("--hypervisors", type=int, default=2, metavar="N", help="how many (2)")
    up.add_argument("--gateway", action="append", metavar="HOST", help="a host with an external uplink (control)")
    up.add_argument("--encapsulation", choices=("geneve", "vxlan"), default="geneve")
    up.add_argument("--python-path", action="append", default=[], metavar="FOLDER", help="packages before Debian's")
    up.add_argument("--no-services", action="store_true", help="neither agents nor the control service")
    up.add_argument("--no-hook", action="store_true", help="no libvirt hook")
    up.set_defaults(run=_up)

    verbs.add_parser("demo", help="create a lab and demonstrate ovnhook in it").set_defaults(run=_demo)
    verbs.add_parser("down", help="remove the lab").set_defaults(run=_down)
    verbs.add_parser("list", help="list hosts, daemons, guests, logs").set_defaults(run=_list)
    verbs.add_parser("add-hypervisor", help="add a hypervisor").set_defaults(run=_add)

    run = verbs.add_parser("run", help="run a command, or a shell, on a host")
    run.add_argument("host")
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(run=_run)

    xml = verbs.add_parser("xml", help="print the XML of a small domain")
    xml.add_argument("name", metavar="NAME")
    xml.add_argument("networks", nargs="+", metavar="NETWORK", help="a libvirt network; an interface for each")
    xml.set_defaults(run=_xml)

    attach = verbs.add_parser("console", help="attach to a guest's console")
    attach.add_argument("guest")
    attach.set_defaults(run=_console)

    guest = verbs.add_parser("guest", help="run a command in a guest")
    guest.add_argument("guest")
    guest.add_argument("command", nargs=argparse.REMAINDER)
    guest.set_defaults(run=_guest)

    daemon = verbs.add_parser("daemon", help="start, stop, kill, pause, resume, restart a daemon")
    daemon.add_argument("host")
    daemon.add_argument("daemon")
    daemon.add_argument("verb", choices=("start", "stop", "kill", "pause", "resume", "restart"))
    daemon.set_defaults(run=_daemon)

    logs = verbs.add_parser("logs", help="show the last lines of the logs")
    logs.add_argument("host", nargs="?")
    logs.add_argument("daemon", nargs="?")
    logs.add_argument("--tail", type=int, default=40, metavar="N", help="lines of each (40)")
    logs.set_defaults(run=_logs)
    return parser


def _up(given: argparse.Namespace) -> None:
    began = time.monotonic()
    cloud = LabCloud(
        given.prefix,
        hypervisors=given.hypervisors,
        gateways=given.gateway or ("control",),
        python_path=given.python_path,
        encapsulation=given.encapsulation,
        hook=not given.no_hook,
    )
    try:
        cloud.up(services=not given.no_services)
    except LabError:
        print(f"the partial lab is kept for inspection (lab logs; lab down): {cloud.folder}", file=sys.stderr)
        raise
    print(f"lab {given.prefix} is up ({time.monotonic() - began:.1f} s): {', '.join(cloud.hosts)}")


def _demo(given: argparse.Namespace) -> None:
    demo.show(LabCloud(given.prefix))


def _down(given: argparse.Namespace) -> None:
    LabCloud(given.prefix).down()


def _add(given: argparse.Namespace) -> None:
    print(LabCloud.load(given.prefix).add_hypervisor().name)


def _run(given: argparse.Namespace) -> None:
    host = LabCloud.load(given.prefix).host(given.host)
    host.enter(given.command or ["/bin/sh"])


def _xml(given: argparse.Namespace) -> None:
    print(domain_xml(given.name, [("", network) for network in given.networks]))


def _console(given: argparse.Namespace) -> None:
    guest = LabCloud.load(given.prefix).guest(given.guest)
    print(f"{guest.name} on {guest.host.name}; Ctrl-] leaves", file=sys.stderr)
    console.attach(guest.socket)


def _guest(given: argparse.Namespace) -> int:
    guest = LabCloud.load(given.prefix).guest(given.guest)
    status, output = guest.execute(shlex.join(given.command))
    print(output, end="")
    return status


def _daemon(given: argparse.Namespace) -> None:
    daemon = LabCloud.load(given.prefix).host(given.host).daemon(given.daemon)
    getattr(daemon, given.verb)()
    print(f"{given.host} {given.daemon}: {daemon.state}")


def _logs(given: argparse.Namespace) -> None:
    cloud = LabCloud.load(given.prefix)
    if given.daemon:
        print(cloud.host(given.host).daemon(given.daemon).tail(given.tail))
    else:
        print(cloud.logs(given.tail, [cloud.host(given.host)] if given.host else None))


def _list(given: argparse.Namespace) -> None:
    if not state.prefixes():
        print("no lab is up")
        return
    cloud = LabCloud.load(given.prefix)
    for host in cloud.hosts.values():
        print(f"{host.name:<10} {' '.join(cloud.addresses(host.name))}   logs: {host.logs}")
        for daemon in host.daemons.values():
            print(f"  {daemon.name:<16} {daemon.state:<8} {daemon.pid or '-'}")
    guests = [guest for guest in cloud.guests() if guest.running]
    print("guests" if guests else "no guest runs")
    for guest in guests:
        known = [f"{mac} {addresses[-1]}" for mac, addresses in guest.addresses().items()]
        print(f"  {guest.name:<16} {guest.host.name:<8} {', '.join(known) or '-'}   console: {guest.log}")
