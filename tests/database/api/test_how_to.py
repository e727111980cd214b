"""What docs/how-to/use-the-api.md says, done as it is written there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ovnhook
from lab.waiting import HANG
from ovnhook.base.config import load
from ovnhook.control.server import ControlServer
from tests.database.control_service import Control

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "use-the-api.md").read_text()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ovnhook.__file__).parents[1])}


def blocks(language: str) -> list[str]:
    """The page's examples in a language, in order."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


def python(text: str, directory: Path) -> str:
    """What an example prints."""
    command = [sys.executable, "-c", text]
    done = subprocess.run(
        command,
        cwd=directory,
        env=ENVIRONMENT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=HANG,
    )
    return done.stdout


def test_on_the_control_host(control: Control, tmp_path: Path) -> None:
    """Over the unix socket."""
    text = blocks("python")[0].replace("/run/ovnhook/control.sock", str(control.path))
    assert python(text, tmp_path).splitlines() == [
        "api: 10.7.0.0/24, 0 of 252 addresses leased",
        "NOT_FOUND: there is no subnet 'green' (ovnhook subnet list)",
    ]


def test_changes_as_they_happen(control: Control, tmp_path: Path) -> None:
    """Until the client ends."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    text = blocks("python")[1].replace("/run/ovnhook/control.sock", str(control.path))
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["EXISTING blue\n", "that is all there was\n"]
        control.done("subnet", "delete", "blue")
        assert process.stdout.readline() == "DELETED blue\n"
        process.kill()


def test_from_other_hosts(control: Control, directory: Path, port: int) -> None:
    """With certificates as they are made there."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.attach("web1", "blue", "10.1.0.20")
    here = {"192.0.2.10:9443": f"127.0.0.1:{port}", "192.0.2.10": "127.0.0.1", "/etc/ovnhook": str(directory)}

    def as_here(text: str) -> str:
        for there, replacement in here.items():
            text = text.replace(there, replacement)
        return text

    commands = [as_here(text) for text in blocks("sh") if "openssl" in text]
    assert len(commands) == 2
    subprocess.run(["bash", "-e"], input="".join(commands), check=True, text=True, timeout=HANG)
    configuration = directory / "ovnhook.toml"
    databases = "".join(f'{name} = "{getattr(control.config, name)}"\n' for name in ("northbound", "southbound"))
    configuration.write_text(databases + as_here(blocks("toml")[0]))
    service = ControlServer(directory / "run" / "other.sock", load(configuration))
    service.start()
    try:
        (line,) = python(as_here(blocks("python")[2]), directory).splitlines()
    finally:
        service.stop()
    assert line.split()[1:] == ["web1", "10.1.0.20"]


@pytest.mark.parametrize("language", ["sh", "python", "toml"])
def test_the_examples_are_found(language: str) -> None:
    """A page without examples would make the tests above hold of nothing."""
    assert blocks(language)
