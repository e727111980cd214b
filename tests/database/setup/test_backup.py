"""``ovnhook control backup`` and ``restore``, on real databases: what is lost, changed or made since is as it was."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook import __version__
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.pki import keyfiles, x509
from ovnhook.setup import backup
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import NORTHBOUND_SCHEMA, Cluster, Dump, Server, run

WORKS = {"NB_Global", "Connection", "SSL"}
"""Tables that are about the servers."""


@pytest.fixture(autouse=True)
def config(control: Control, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Config], None]:
    """Lets the command have a configuration, that of the databases at first, and an authority's folder of its own."""
    monkeypatch.setattr(keyfiles, "AUTHORITY", directory / "ca")

    def has(one: Config) -> None:
        monkeypatch.setattr("ovnhook.cli.commands.control.load", lambda: one)

    has(control.config)
    return has


@pytest.fixture
def file(directory: Path) -> Path:
    """Where the backup is to be."""
    return directory / "cloud.tar.gz"


def furnish(control: Control) -> None:
    """A cloud that has a bit of everything, and a switch that somebody else has made."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--isolated", "--cidr6", "fd00:2::/64")
    control.attach("web", "blue")
    control.attach("db", "green", "10.2.0.9", mac="52:54:00:00:00:02")
    nbctl(
        control.northbound, "ls-add theirs -- lsp-add theirs their-port -- set NB_Global . options:mac_prefix=0a:00:01"
    )
    nbctl(control.northbound, "lb-add their-balancer 192.0.2.1 10.1.0.9 -- ls-lb-add blue their-balancer")  # on ours


def nbctl(server: Server, command: str) -> str:
    """Change a database as an administrator does."""
    return run("ovn-nbctl", f"--timeout={HANG:.0f}", "--no-leader-only", f"--db={server.remote}", *command.split())


def cloud(server: Server) -> Dump:
    """All rows but those about the servers."""
    return {table: rows for table, rows in server.dump().items() if table not in WORKS}


def lose(server: Server) -> None:
    """A new database in place of this one."""
    server.stop()
    (server.directory / "db").unlink()
    run("ovsdb-tool", "create", str(server.directory / "db"), str(NORTHBOUND_SCHEMA))
    server.start()


def test_all_is_there_again(control: Control, file: Path) -> None:
    """After the database was lost wholly, with every UUID; to repeat it changes nothing."""
    furnish(control)
    before, count = cloud(control.northbound), sum(map(len, control.northbound.dump().values()))
    assert control.done("control", "backup", str(file)).out == f"saved      {count} rows of the northbound database\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    lose(control.northbound)
    said = control.done("control", "restore", str(file)).out
    assert "\nchanged    the northbound database matches the backup" in said
    assert cloud(control.northbound) == before
    assert nbctl(control.northbound, "get NB_Global . options:mac_prefix") == '"0a:00:01"\n'
    written = control.northbound.dump(versions=True)
    said = control.done("control", "restore", str(file)).out
    assert "\nunchanged  the northbound database matches the backup" in said
    assert control.northbound.dump(versions=True) == written
    control.attach("mail", "blue", mac="52:54:00:00:00:03")  # it is a cloud, and not only its rows


def test_what_came_later_is_undone(control: Control, file: Path) -> None:
    """What was deleted, changed and made; but not what somebody else did, nor where the server listens."""
    furnish(control)
    before = cloud(control.northbound)
    control.done("control", "backup", str(file))

    control.attach("mail", "blue", mac="52:54:00:00:00:03")
    control.done("subnet", "create", "red", "10.3.0.0/24")
    control.done("subnet", "set", "blue", "--mtu", "1300")
    DirectHost(control.config).release_leases(uuids.switch("db"), Deadline.after(HANG))
    control.done("subnet", "delete", "green")
    nbctl(control.northbound, "lsp-del their-port -- ls-add later -- set-connection punix:/nowhere/x")
    (theirs_too,) = control.northbound.dump()["Load_Balancer"]
    nbctl(control.northbound, f"set Load_Balancer {theirs_too} options:reject=true")
    theirs = {
        key: row for key, row in control.northbound.dump()["Logical_Switch"].items() if not row["external_ids"][1]
    }

    said = control.done("control", "restore", str(file)).out
    assert "0 rows missing" not in said
    after = cloud(control.northbound)
    for uuid, row in theirs.items():
        assert after["Logical_Switch"].pop(uuid) == row
        before["Logical_Switch"].pop(uuid, None)
    ours = {uuid for uuid, row in before["Logical_Switch_Port"].items() if row["name"] != "their-port"}
    before["Logical_Switch_Port"] = {uuid: before["Logical_Switch_Port"][uuid] for uuid in ours}
    before["Load_Balancer"][theirs_too]["options"] = ["map", [["reject", "true"]]]
    assert after == before
    assert nbctl(control.northbound, "get-connection") == "punix:/nowhere/x\n"


def test_what_northd_says_is_left_to_it(control: Control, file: Path) -> None:
    """A port is up when its host says so, and counters only go on."""
    furnish(control)
    control.done("control", "backup", str(file))
    port = min(uuid for uuid, row in control.northbound.dump()["Logical_Switch_Port"].items() if not row["type"])
    nbctl(control.northbound, f"set Logical_Switch_Port {port} up=true -- set NB_Global . nb_cfg=7")
    written = control.northbound.dump(versions=True)
    assert (
        "\nunchanged  the northbound database matches the backup" in control.done("control", "restore", str(file)).out
    )
    assert control.northbound.dump(versions=True) == written


def test_who_was_put_out_since_stays_out(control: Control, file: Path) -> None:
    """The trust row is restored if it is lost, and never replaced by an older state."""
    row = "create DNS external_ids:ovnhook\\:kind=trust records:node\\ hv1=anchor"
    uuid = run("ovn-nbctl", f"--db={control.northbound.remote}", *row.replace("\\ ", "_").split()).strip()
    control.done("control", "backup", str(file))
    nbctl(control.northbound, f"remove DNS {uuid} records node_hv1")
    control.done("subnet", "create", "red", "10.3.0.0/24")
    control.done("control", "restore", str(file))
    assert nbctl(control.northbound, f"get DNS {uuid} records") == "{}\n"
    assert control.done("subnet", "list", "--format", "json").json == []
    lose(control.northbound)
    control.done("control", "restore", str(file))
    assert nbctl(control.northbound, f"get DNS {uuid} records") == "{node_hv1=anchor}\n"


def test_a_cluster_is_as_it_was(
    control: Control, cluster: Cluster, config: Callable[[Config], None], file: Path
) -> None:
    """By a member that does not lead it; a backup of one server fits a cluster, and the reverse."""
    furnish(control)
    before = cloud(control.northbound)
    control.done("control", "backup", str(file))
    member = next(server for server in cluster.servers if server is not cluster.leader())
    config(replace(control.config, northbound=member.remote))
    control.done("control", "restore", str(file))
    assert cloud(cluster.leader()) == before

    again = file.with_name("again.tar.gz")
    control.done("control", "backup", str(again))
    lose(control.northbound)
    config(control.config)
    control.done("control", "restore", str(again))
    assert cloud(control.northbound) == before


def test_a_host_may_be_faster(control: Control, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A domain that starts between reading and writing makes it begin again, and is undone as others are."""
    furnish(control)
    before = cloud(control.northbound)
    control.done("control", "backup", str(file))
    control.done("subnet", "create", "red", "10.3.0.0/24")
    read, reads = backup._read, 0

    def slow(config: Config) -> bytes:
        nonlocal reads
        said = read(config)
        reads += 1
        if reads == 3:  # the one that is written after
            control.attach("mail", "blue", mac="52:54:00:00:00:03")
        return said

    monkeypatch.setattr(backup, "_read", slow)
    control.done("control", "restore", str(file))
    assert reads == 4
    assert cloud(control.northbound) == before


def test_a_backup_is_not_written_over(control: Control, file: Path) -> None:
    """And none is left where it can't be made."""
    file.write_text("precious")
    assert control.refused(4, "control", "backup", str(file))[0] == f"{file} already exists"
    assert file.read_text() == "precious"
    nowhere = file.parent / "nowhere" / "cloud"
    assert control.refused(3, "control", "backup", str(nowhere))[0] == f"{nowhere.parent} is not a directory"
    control.northbound.stop()
    there = {path.name for path in file.parent.iterdir()}
    done = control.ovnhook("control", "backup", str(file.with_name("new")))
    assert (done.status, done.out) == (7, "")
    assert "hint: systemctl status ovn-ovsdb-server-nb" in done.error
    assert {path.name for path in file.parent.iterdir()} == there


def members(file: Path) -> dict[str, bytes]:
    """What is in an archive."""
    with tarfile.open(file) as tar:
        return {info.name: opened.read() for info in tar if (opened := tar.extractfile(info))}


def pack(file: Path, contents: dict[str, bytes]) -> None:
    """Make another archive of it."""
    with tarfile.open(file, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_what_is_no_backup_is_refused(control: Control, file: Path) -> None:
    """Cut off anywhere, damaged anywhere, something else, or nothing: and nothing is changed."""
    furnish(control)
    control.done("control", "backup", str(file))
    control.done("subnet", "create", "red", "10.3.0.0/24")
    whole, wrong = file.read_bytes(), file.with_name("wrong")
    for length in (0, 1, 9, 10, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        wrong.write_bytes(whole[:length])
        assert control.refused(2, "control", "restore", str(wrong))[0].startswith(f"{wrong}")
    for place in range(11, len(whole), len(whole) // 7):
        wrong.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        control.refused(2, "control", "restore", str(wrong))
    for other in (b"something", gzip.compress(b""), gzip.compress(b"something" * 1000)):
        wrong.write_bytes(other)
        control.refused(2, "control", "restore", str(wrong))
    good = members(file)
    for name in good:
        pack(wrong, {key: value for key, value in good.items() if key != name})
        control.refused(2, "control", "restore", str(wrong))
    rows = good["northbound.ovsdb"]
    for changed in (rows[:-1], rows + rows, rows.replace(b"blue", b"glue"), b""):
        pack(wrong, {**good, "northbound.ovsdb": changed})
        control.refused(2, "control", "restore", str(wrong))
    assert control.refused(3, "control", "restore", "/nowhere")[0] == "no such file: /nowhere"


def test_what_another_version_wrote_is_refused(
    control: Control, config: Callable[[Config], None], file: Path, make_server: Callable[[str, Path], Server]
) -> None:
    """A format that is unknown, a newer schema, another database; what an older schema lacks is left as it is."""
    furnish(control)
    control.done("control", "backup", str(file))
    good = members(file)
    other = file.with_name("other")
    pack(other, {**good, "manifest.json": json.dumps({"format": 2, "ovnhook": "9.9"}).encode()})
    error, hint = control.refused(2, "control", "restore", str(other))
    assert "unsupported format, written by ovnhook 9.9" in error
    assert hint == "restore it with that version or a newer one"
    assert json.loads(good["manifest.json"])["ovnhook"] == __version__

    old, new = (schema(file.parent, name) for name in ("old", "new"))
    del old[1]["tables"]["Logical_Switch"]["columns"]["copp"]
    new[1]["tables"]["Logical_Switch"]["columns"]["novel"] = {"type": "string"}
    said = [restored(control, config, make_server, file, *one) for one in (old, new)]
    assert (said[0][0], said[1][0]) == (2, 0)
    assert "has no Logical_Switch.copp" in said[0][1]
    southbound = run("ovsdb-client", "backup", control.southbound.remote, "OVN_Southbound").encode()
    pack(other, {**good, "northbound.ovsdb": southbound})
    config(control.config)
    before = control.northbound.dump(versions=True)
    done = control.ovnhook("control", "restore", str(other))
    assert (done.status, done.error) == (
        2,
        "error: expected a snapshot of OVN_Northbound, found one of OVN_Southbound\n",
    )
    assert control.northbound.dump(versions=True) == before


def schema(directory: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The northbound schema, to be changed, and where it is to be written."""
    return directory / f"{name}.ovsschema", json.loads(NORTHBOUND_SCHEMA.read_text())


def restored(
    control: Control,
    config: Callable[[Config], None],
    make_server: Callable[[str, Path], Server],
    file: Path,
    path: Path,
    content: dict[str, Any],
) -> tuple[int, str]:
    """What it comes to when a backup is restored into a database of another schema."""
    path.write_text(json.dumps(content))
    server = make_server(path.stem, path)
    config(replace(control.config, northbound=server.remote))
    done = control.ovnhook("control", "restore", str(file))
    assert bool(server.dump()["Logical_Switch"]) == (not done.status)
    return done.status, done.error


def test_the_authority_comes_back(control: Control, directory: Path, file: Path) -> None:
    """Its key, for its owner alone; that of another authority is never written over."""
    authority, files = x509.Authority.new(), keyfiles.AuthorityFiles(directory / "ca")
    keyfiles.write(files.own.key, authority.key, keyfiles.SECRET)
    keyfiles.write(files.own.certificate, authority.certificate, keyfiles.PUBLIC)
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert control.done("control", "backup", str(file)).out.endswith(" and the certificate authority's key\n")

    files.own.key.unlink()
    files.own.certificate.unlink()
    files.folder.rmdir()
    _, first, second = control.done("control", "restore", str(file)).out.splitlines()
    assert first == f"changed    {files.own.key} is the certificate authority's key from the backup"
    assert second.startswith("unchanged  the northbound database")
    assert files.load() == authority
    assert stat.S_IMODE(files.own.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700

    other = x509.Authority.new()
    keyfiles.write(files.own.key, other.key, keyfiles.SECRET)
    keyfiles.write(files.own.certificate, other.certificate, keyfiles.PUBLIC)
    control.done("subnet", "create", "red", "10.3.0.0/24")
    error, hint = control.refused(4, "control", "restore", str(file))
    assert error == f"this host has a different certificate authority from the backup's, in {files.folder}"
    assert hint.startswith(f"mv {files.folder} away")
    assert files.load() == other


def test_only_root_may(control: Control, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads keys."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for verb in ("backup", "restore"):
        error, hint = control.refused(2, "control", verb, str(file))
        assert error == "this command requires root"
        assert hint == f"sudo ovnhook control {verb} {file}"
