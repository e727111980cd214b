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
    """Backup and restore of the cloud, on a control host."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@control.command()
@click.argument("file", type=_FILE)
def backup(file: Path) -> None:
    """Back up the cloud to the new file FILE.

    As root on a control host, without interruption. The backup contains the northbound database, and the certificate
    authority's private key if this host has it: keep it secret. The southbound database is rebuilt from the northbound
    one.

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
    """Restore the cloud from the backup FILE.

    As root on a control host, without interruption. Newer objects are deleted, including ports of domains that were
    started since; their hosts create these again. Restore a new control host before "ovnhook node init". Idempotent.

    \b
    Example:
      ovnhook control restore /var/backups/ovnhook-2026-01-31.tar.gz
    """
    from ovnhook.setup import backup
    from ovnhook.setup.step import apply_steps

    _check_root(f"sudo ovnhook control restore {quoted(str(file))}")
    apply_steps(backup.steps(backup.load(file), load()), say)


def _check_root(how: str) -> None:
    if os.geteuid() != 0:
        raise InvalidRequest("this command requires root", how)
