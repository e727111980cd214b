"""``ovnhook control``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ovnhook.base.config import load
from ovnhook.base.errors import InvalidRequest
from ovnhook.base.text import quoted
from ovnhook.cli.output import say

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(invoke_without_command=True)
@click.pass_context
def control(context: click.Context) -> None:
    """The control host: what a cloud is, saved to a file and brought back."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@control.command()
@click.argument("file", type=_FILE)
def backup(file: Path) -> None:
    """Save the cloud to the new file FILE, as root on a control host, while all goes on.

    In it are the northbound database, and the key that the cloud's certificates are signed with if this host has it:
    keep it as secret as that. The southbound database is derived from the northbound one, and not in it.

    \b
    Example:
      ovnhook control backup /var/backups/ovnhook-$(date +%F).tar.gz
    """
    from ovnhook.setup.backup import save

    _check_root(f"sudo ovnhook control backup {quoted(str(file))}")
    saved = save(file, load())
    key = " and the certificate authority's key" if saved.authority else ""
    say(f"saved      {len(saved.northbound)} rows of the northbound database{key}")


@control.command()
@click.argument("file", type=_FILE)
def restore(file: Path) -> None:
    """Make the cloud what it was when FILE was saved, as root on a control host, while all goes on.

    What was made since is taken away, with the ports of domains that were started since; their hosts make those again.
    A control host that is set up anew is restored before "ovnhook node init". May be repeated.

    \b
    Example:
      ovnhook control restore /var/backups/ovnhook-2026-01-31.tar.gz
    """
    from ovnhook.setup import backup
    from ovnhook.setup.step import carry_out

    _check_root(f"sudo ovnhook control restore {quoted(str(file))}")
    carry_out(backup.steps(backup.load(file), load()), say)


def _check_root(how: str) -> None:
    if os.geteuid() != 0:
        raise InvalidRequest("only root may read and write what a cloud is", how)
