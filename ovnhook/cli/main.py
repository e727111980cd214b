"""The command ``ovnhook``, and how it prints errors."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ovnhook import __version__
from ovnhook.base.config import CONTROL_SOCKET
from ovnhook.base.errors import OvnhookError
from ovnhook.base.text import visible
from ovnhook.cli.commands import COMMANDS

_USAGE = 2
_INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, invoke_without_command=True
)
@click.option(
    "--socket",
    type=click.Path(readable=False, path_type=Path),
    help=f"Unix socket of the control service.  [default: as in ovnhook.toml, else {CONTROL_SOCKET}]",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, socket: Path | None) -> None:
    """Manage OVN networks for libvirt domains.

    \b
    Examples:
      ovnhook status
      ovnhook subnet create blue 10.1.0.0/24 --default
      ovnhook port list
      ovnhook lease list --subnet blue --format json
    """
    context.obj = socket
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for noun in COMMANDS:
    command.add_command(noun)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, that of the error (ovnhook.base.errors), or 2 for a usage error.

    Args:
        arguments: command-line arguments, or None for those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # names may have characters that the terminal's encoding lacks
    try:
        # 0, or the exit status of click's own --help and --version.
        status = command.main(arguments, prog_name="ovnhook", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "ovnhook"
        return _fail(error.format_message(), f"{where} --help", _USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), "", error.exit_code)
    except click.Abort:
        return _INTERRUPTED
    except OvnhookError as error:
        return _fail(error.message, error.hint, error.exit_code)
    return status if isinstance(status, int) else 0


def _fail(message: str, hint: str, status: int) -> int:
    print(f"error: {visible(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {visible(hint)}", file=sys.stderr)
    return status
