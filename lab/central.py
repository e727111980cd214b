"""OVN's central part on the control host: the northbound and southbound databases, and northd."""

from __future__ import annotations

from pathlib import Path

from lab.daemon import Daemon, Ready
from lab.host import LabHost
from lab.waiting import accepts

SCHEMA = Path("/usr/share/ovn")
NORTHBOUND = 6641
SOUTHBOUND = 6642


def install(host: LabHost, address: str, *, northbound: bool) -> None:
    """Give the host the daemons nb, sb and northd; the databases also listen on ``address``, nb only if needed."""
    folder = host.folder / "ovn"
    for name, schema, database, remotes in (
        ("nb", "nb", "OVN_Northbound", [f"--remote=ptcp:{NORTHBOUND}:{address}"] if northbound else []),
        ("sb", "sb", "OVN_Southbound", [f"--remote=ptcp:{SOUTHBOUND}:{address}"]),
    ):
        table = f"{schema.upper()}_Global"
        host.daemons[name] = Daemon(
            host,
            name,
            [
                "ovsdb-server",
                "-vsyslog:off",
                f"--remote=punix:/run/ovn/ovn{schema}_db.sock",
                *remotes,
                f"--remote=db:{database},{table},connections",
                f"--unixctl=/run/ovn/ovn{schema}_db.ctl",
                f"--pidfile=/run/ovn/ovn{schema}_db.pid",
                "--overwrite-pidfile",
                str(folder / f"ovn{schema}_db.db"),
            ],
            ready=_listens(host, f"ovn/ovn{schema}_db.sock"),
        )
    host.daemons["northd"] = Daemon(
        host,
        "northd",
        [
            "ovn-northd",
            "-vsyslog:off",
            "--ovnnb-db=unix:/run/ovn/ovnnb_db.sock",
            "--ovnsb-db=unix:/run/ovn/ovnsb_db.sock",
            "--pidfile=/run/ovn/ovn-northd.pid",
            "--overwrite-pidfile",
            "--unixctl=/run/ovn/ovn-northd.ctl",
        ],
        ready=_listens(host, "ovn/ovn-northd.ctl"),
    )


def start(host: LabHost) -> None:
    """Make empty databases where there are none, and start all three."""
    folder = host.folder / "ovn"
    folder.mkdir(exist_ok=True)
    for schema in ("nb", "sb"):
        database = folder / f"ovn{schema}_db.db"
        if not database.exists():
            host.run(["ovsdb-tool", "create", str(database), str(SCHEMA / f"ovn-{schema}.ovsschema")])
    for name in ("nb", "sb", "northd"):
        host.daemons[name].start()
    host.run(["ovn-nbctl", "init"])
    host.run(["ovn-sbctl", "init"])


def _listens(host: LabHost, socket: str) -> Ready:
    return lambda _: accepts(host.run_folder / socket)
