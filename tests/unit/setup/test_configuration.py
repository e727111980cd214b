"""Settings that a set-up writes into the configuration file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ovnhook.base.errors import FailedPrecondition, InvalidConfig
from ovnhook.setup import configuration
from ovnhook.setup.step import apply_steps


def test_a_setting_is_written_where_it_is() -> None:
    """In its own line alone, though another one has the same text in it; what is not there comes at the end."""
    text = '# ca = "/x"\ndatabase_ca = "/x"\nca = "/x"\nname = "a"'
    made = configuration.changed(text, {"ca": "/new\\1", "listen": "[::]:1"})
    assert made == '# ca = "/x"\ndatabase_ca = "/x"\nca = "/new\\\\1"\nname = "a"\nlisten = "[::]:1"\n'
    assert configuration.changed(made, {"ca": "/new\\1", "listen": "[::]:1"}) == made
    assert tomllib.loads(made)["ca"] == "/new\\1"
    for odd in ('ca = """x"""', 'ca = "a"\nca = "b"'):
        with pytest.raises(FailedPrecondition, match="unsupported syntax"):
            configuration.changed(odd, {"ca": "c"})


@pytest.mark.parametrize("text", ['control = ""\nnorthbound = "unix:/x"\n', '  northbound="unix:/x" # y', ""])
def test_a_setting_is_removed(tmp_path: Path, text: str) -> None:
    """With its line alone, and once."""
    path = tmp_path / "ovnhook.toml"
    path.write_text(f"# northbound = 1\n{text}")
    apply_steps(configuration.steps({"listen": "[::1]:1"}, path, removed=["northbound"]), print)
    kept = 'control = ""\n' if "control" in text else ""
    assert path.read_text() == f'# northbound = 1\n{kept}listen = "[::1]:1"\n'
    (step,) = configuration.steps({"listen": "[::1]:1"}, path, removed=["northbound"])
    assert step.is_done()
    path.write_text(f'northbound = "unix:/run/ovn/ovnnb_db.sock"\n{path.read_text()}')  # the default is one, too
    assert not step.is_done()


def test_a_setting_that_means_nothing_is_not_written(tmp_path: Path) -> None:
    """The file stays what it was."""
    path = tmp_path / "ovnhook.toml"
    path.write_text("deadline = 6.0\n")
    (step,) = configuration.steps({"listen": "nowhere"}, path)
    with pytest.raises(InvalidConfig, match="HOST:PORT"):
        step.apply()
    assert path.read_text() == "deadline = 6.0\n"
    assert list(tmp_path.iterdir()) == [path]
