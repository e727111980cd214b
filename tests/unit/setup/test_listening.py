"""The remotes of a database server: from its options, and from no row."""

from __future__ import annotations

from pathlib import Path

from ovnhook.pki import keyfiles
from ovnhook.setup import listening


def test_a_server_is_started_to_follow_no_row() -> None:
    """What it is told comes after all that an administrator has in OVN_CTL_OPTS, so it holds."""
    files = keyfiles.AuthorityFiles(Path("/ca")).databases
    text = listening.Listening("nb", ["pssl:6641:[::]"], files).text
    command = text.splitlines()[-1]
    assert command.startswith("ExecStart=/usr/share/ovn/scripts/ovn-ctl run_nb_ovsdb $OVN_CTL_OPTS --db-nb-use-remote")
    options, _, more = command.partition(" -- ")
    assert "--db-nb-use-remote-in-db=no" in options.split()
    assert "--ovn-nb-db-ssl-ca-cert=/ca/databases.pem" in options.split()
    assert more.split() == ["--remote=pssl:6641:[::]", "--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5"]
    assert text.splitlines()[1:3] == ["[Service]", "ExecStart="]
