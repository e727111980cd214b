"""The configuration file: what is taken, and what is said of what is not."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovnhook.base.config import Config, load
from ovnhook.base.errors import InvalidConfig


def _written(directory: Path, text: str | bytes) -> Path:
    path = directory / "ovnhook.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    """It works on one machine without one."""
    assert load(tmp_path / "none.toml") == Config()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Every key may be left out."""
    assert load(_written(tmp_path, "# nothing yet\n")) == Config()


def test_the_defaults_pass_their_own_check(tmp_path: Path) -> None:
    """Written out, they are accepted and mean the same."""
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in dataclasses.asdict(Config()).items())
    assert load(_written(tmp_path, "".join(lines))) == Config()


@given(
    deadline=st.floats(4, 60),
    on=st.sampled_from(["start", "refuse"]),
    ports=st.lists(st.integers(1, 65535), min_size=1),
)
def test_values_are_taken(tmp_path_factory: pytest.TempPathFactory, deadline: float, on: str, ports: list[int]) -> None:
    """Each value of the file is the configuration's."""
    remotes = ", ".join(f"tcp:10.0.0.1:{port}" for port in ports)
    text = f"northbound = '{remotes}'\non_unavailable = '{on}'\ndeadline = {deadline!r}\n"
    config = load(_written(tmp_path_factory.mktemp("config"), text))
    assert config == Config(northbound=remotes, on_unavailable=on, deadline=deadline)


def test_a_whole_number_is_a_deadline(tmp_path: Path) -> None:
    """Nobody has to write 10.0."""
    config = load(_written(tmp_path, "deadline = 10"))
    assert (config.deadline, type(config.deadline), config.call_deadline) == (10.0, float, 5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nortbound = 'unix:/x'", "nortbound"),
        ("[agent]\nx = 1", "agent"),
        ("deadline = '5'", "'5'"),
        ("deadline = true", "True"),
        ("deadline = 3.9", "3.9"),
        ("deadline = 60.5", "60.5"),
        ("deadline = 0", "0"),
        ("deadline = -5", "-5"),
        ("deadline = nan", "nan"),
        ("deadline = inf", "inf"),
        ("integration_bridge = 1", "1"),
        ("on_unavailable = 'Start'", "'Start'"),
        ("on_unavailable = ''", "''"),
        ("northbound = ''", "''"),
        ("northbound = '/run/ovn/ovnnb_db.sock'", "/run/ovn/ovnnb_db.sock"),
        ("northbound = 'tcp:a:1,'", "northbound"),
        ("northbound = 'tcp:a:1,http://b'", "http://b"),
        ("northbound = ['tcp:a:1']", "northbound"),
        ("vswitch = 'unix:relative'", "unix:relative"),
        ("isolated_pool = '10.0.0.0'", "10.0.0.0"),
        ("isolated_pool = '10.0.0.1/12'", "10.0.0.1/12"),
        ("isolated_pool = '10.0.0.0/29'", "/8 to /28"),
        ("isolated_pool = 'fd00::/16'", "fd00::/16"),
        ("southbound = 'sb'", "southbound"),
        ("deadline = 5\ndeadline = 6\n", "line 2"),
        ("deadline =\n", "line 1"),
        (b"deadline = 5 # \xff", "utf-8"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str | bytes, said: str) -> None:
    """The message names the file, and the value or the place."""
    path = _written(tmp_path, text)
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert said in caught.value.message.removeprefix(str(path))


def test_an_unknown_key_is_told_with_the_known_ones(tmp_path: Path) -> None:
    """A slip of the pen is mended without the manual."""
    with pytest.raises(InvalidConfig) as caught:
        load(_written(tmp_path, "dead_line = 5"))
    assert {field.name for field in dataclasses.fields(Config)} <= set(caught.value.hint.replace(",", "").split())


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """As anything wrong with the configuration, and not as a bug."""
    with pytest.raises(InvalidConfig, match="directory"):
        load(tmp_path)


@given(st.text())
def test_any_text_is_a_configuration_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text ends in anything but a configuration or a line that says what is wrong."""
    path = _written(tmp_path_factory.mktemp("config"), text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(InvalidConfig):
        assert isinstance(load(path), Config)


def test_a_database_by_tls_needs_a_certificate(tmp_path: Path) -> None:
    """The three files of it are given, or said to be missing."""
    file = tmp_path / "ovnhook.toml"
    file.write_text('northbound = "unix:/s,ssl:192.0.2.10:6641"')
    with pytest.raises(InvalidConfig, match="needs a client certificate"):
        load(file)
    file.write_text('database_certificate = "/c"')
    with pytest.raises(InvalidConfig, match="database_private_key and database_ca are missing"):
        load(file)
    files = '\ndatabase_certificate = "/c"\ndatabase_private_key = "/k"\ndatabase_ca = "/a"'
    file.write_text('northbound = "ssl:192.0.2.10:6641"' + files)
    assert load(file).database_ca == "/a"
