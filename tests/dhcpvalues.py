"""A valid value for each DHCP option that users set by name."""

from __future__ import annotations

from ovnhook.resources.subnet.dhcpoptions import EXTRA, OptionType

_OF_TYPE = {
    OptionType.ADDRESS: "192.0.2.7",
    OptionType.BOOLEAN: "1",
    OptionType.UINT8: "7",
    OptionType.UINT32: "700",
    OptionType.TEXT: "http://[fd00::1]/'$x'?y&z=1",
    OptionType.HOST: "tftp.example",
}

VALUES = {name: _OF_TYPE[kind] for name, kind in EXTRA.items()}
"""The value of each option."""

ARGUMENTS = tuple(word for name, value in VALUES.items() for word in ("--dhcp-option", f"{name}={value}"))
"""All of them, for the command."""
