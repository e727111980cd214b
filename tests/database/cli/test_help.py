"""Help and version of the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.waiting import HANG
from ovnhook import __version__
from ovnhook.cli.main import main


def test_help_is_fast_and_has_examples() -> None:
    """Without any of the libraries that take their time."""
    code = """if True:
        import sys
        from ovnhook.cli.main import main
        main(["subnet", "create", "--help"])
        print(sorted({"grpc", "google.protobuf", "rich", "yaml"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "ovnhook subnet create blue 10.1.0.0/24 --default" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["subnet"], ["lease"], ["port"], ["--help"], ["port", "list", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A noun by itself explains itself, which is no error."""
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: ovnhook")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ovnhook {__version__}\n"
