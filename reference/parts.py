"""Every generated part. A new one is a line here, and its two comments in the page."""

from __future__ import annotations

from reference import api, command_line, roles, rows
from reference.part import Part

PARTS = (
    Part("api.md", "services", api.services),
    Part("command-line.md", "commands", command_line.commands),
    Part("database.md", "rows", rows.kinds),
    Part("roles.md", "methods", roles.methods),
)
