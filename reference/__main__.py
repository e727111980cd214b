"""Writes the generated parts of docs/reference: ``python3 -m reference``, or ``make reference``."""

from __future__ import annotations

from reference.part import pages
from reference.parts import PARTS

for path, text in pages(PARTS).items():
    path.write_text(text)
