"""What ``ovnhook.toml`` is to say, beside all else that an administrator has written there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovnhook.base.config import PATH, load
from ovnhook.base.errors import InUse
from ovnhook.pki import keyfiles
from ovnhook.setup.step import Step

_MODE = 0o644


def says(settings: Mapping[str, str], path: Path = PATH) -> Iterator[Step]:
    """The file has some settings, all in one step: half of them may mean nothing.

    Args:
        settings: by key.
        path: of the file.
    """
    shown = ", ".join(settings)
    yield Step(
        f"{path} says {shown}",
        lambda: all(getattr(load(path), key) == value for key, value in settings.items()),
        lambda: _write(settings, path),
    )


def _write(settings: Mapping[str, str], path: Path) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    new = changed(text, settings)
    draft = path.with_name(f".{path.name}.draft")
    keyfiles.write(draft, new.encode(), _MODE)
    try:
        load(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def changed(text: str, settings: Mapping[str, str]) -> str:
    """A file's text with some settings in it, each in its own place where it has one, else at the end.

    Args:
        text: of the file, TOML without tables.
        settings: by key.

    Raises:
        InUse: one is written in a way that is not understood here.
    """
    for key, value in settings.items():
        line = f"{key} = {json.dumps(value)}"  # a basic string of TOML is one of JSON's, but for what no path has
        pattern = re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
        found = pattern.findall(text)
        if len(found) > 1 or any(mark in one for one in found for mark in ('"""', "'''")):
            raise InUse(f"ovnhook.toml says '{key}' in a way that is better changed by hand", f"write {line}")
        if found:
            text = pattern.sub(line.replace("\\", r"\\"), text)
        else:
            text += line + "\n" if not text or text.endswith("\n") else f"\n{line}\n"
    return text
