"""Settings in ``ovnhook.toml``, changed in place without touching the rest of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovnhook.base.config import PATH, load
from ovnhook.base.errors import FailedPrecondition
from ovnhook.pki import keyfiles
from ovnhook.setup.step import Step

_MODE = 0o644


def steps(settings: Mapping[str, str], path: Path = PATH) -> Iterator[Step]:
    """Change settings in one step, since some are only valid together.

    Args:
        settings: new values by key.
        path: path of the file.
    """
    yield Step(
        f"{path} sets {', '.join(settings)}",
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
    """Change settings in a file's text, in their present line or at the end.

    Args:
        text: content of the file, TOML without tables.
        settings: new values by key.

    Raises:
        FailedPrecondition: a present value has an unsupported syntax.
    """
    for key, value in settings.items():
        line = f"{key} = {json.dumps(value)}"  # also a TOML basic string, except for characters that no path has
        pattern = re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
        found = pattern.findall(text)
        if len(found) > 1 or any(mark in one for one in found for mark in ('"""', "'''")):
            raise FailedPrecondition(
                f"ovnhook.toml: cannot change '{key}' automatically: unsupported syntax", f"write {line}"
            )
        if found:
            text = pattern.sub(line.replace("\\", r"\\"), text)
        else:
            text += line + "\n" if not text or text.endswith("\n") else f"\n{line}\n"
    return text
