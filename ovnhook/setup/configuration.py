"""Settings in ``ovnhook.toml``, changed in place without touching the rest of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ovnhook.base.config import PATH, load
from ovnhook.base.errors import FailedPrecondition
from ovnhook.pki import keyfiles
from ovnhook.setup.step import Step

_MODE = 0o644


def steps(settings: Mapping[str, str], path: Path = PATH, removed: Collection[str] = ()) -> Iterator[Step]:
    """Change settings in one step, since some are only valid together.

    Args:
        settings: new values by key.
        path: path of the file.
        removed: keys to remove.
    """
    yield Step(
        f"{path} sets {', '.join(settings)}" + (f", and not {', '.join(removed)}" if removed else ""),
        lambda: (
            all(getattr(load(path), key) == value for key, value in settings.items())
            and not any(_pattern(key).search(_read(path)) for key in removed)
        ),
        lambda: _write(settings, path, removed),
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(settings: Mapping[str, str], path: Path, removed: Collection[str]) -> None:
    new = changed(_read(path), settings, removed)
    draft = path.with_name(f".{path.name}.draft")
    keyfiles.write(draft, new.encode(), _MODE)
    try:
        load(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def changed(text: str, settings: Mapping[str, str], removed: Collection[str] = ()) -> str:
    """Change settings in a file's text, in their present line or at the end.

    Args:
        text: content of the file, TOML without tables.
        settings: new values by key.
        removed: keys to remove, with their lines.

    Raises:
        FailedPrecondition: a present value has an unsupported syntax.
    """
    for key, value in settings.items():
        line = f"{key} = {json.dumps(value)}"  # also a TOML basic string, except for characters that no path has
        if _is_present(text, key, f"write {line}"):
            text = _pattern(key).sub(line.replace("\\", r"\\"), text)
        else:
            text += line + "\n" if not text or text.endswith("\n") else f"\n{line}\n"
    for key in removed:
        if _is_present(text, key, "remove it"):
            text = re.sub(_pattern(key).pattern + r"\n?", "", text, flags=re.MULTILINE)
    return text


def _is_present(text: str, key: str, hint: str) -> bool:
    found = _pattern(key).findall(text)
    if len(found) > 1 or any(mark in one for one in found for mark in ('"""', "'''")):
        raise FailedPrecondition(f"ovnhook.toml: cannot change '{key}' automatically: unsupported syntax", hint)
    return bool(found)


def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
