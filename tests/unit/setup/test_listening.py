"""The remotes of the northbound server: from its options, and from no row."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovnhook.pki import keyfiles
from ovnhook.setup import listening


@pytest.mark.parametrize("is_open", [True, False])
def test_a_server_is_started_to_follow_no_row(*, is_open: bool) -> None:
    """What it is told comes after all that an administrator has in OVN_CTL_OPTS, so it holds."""
    files = keyfiles.AuthorityFiles(Path("/ca")).northbound
    text = listening.Listening("pssl:6641:[::]", is_open, files).text
    command = text.splitlines()[-1]
    assert command.startswith("ExecStart=/usr/share/ovn/scripts/ovn-ctl run_nb_ovsdb $OVN_CTL_OPTS --db-nb-use-remote")
    options, _, more = command.partition(" -- ")
    assert "--db-nb-use-remote-in-db=no" in options.split()
    assert "--ovn-nb-db-ssl-ca-cert=/ca/northbound.pem" in options.split()
    remote = ["--remote=pssl:6641:[::]"] if is_open else []
    assert more.split() == [*remote, "--ssl-protocols=TLSv1.2", "--ssl-ciphers=HIGH:!aNULL:!MD5"]
    assert text.splitlines()[1:3] == ["[Service]", "ExecStart="]
