"""Configuration of a host's Open vSwitch for OVN: its external_ids (ovn-controller(8))."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovnhook.base.command import run
from ovnhook.base.errors import FailedPrecondition
from ovnhook.setup.step import Step

SYSTEM_ID = Path("/etc/openvswitch/system-id.conf")
"""File from which Debian's service sets the system-id at each start."""


def settings() -> dict[str, str]:
    """Read external_ids of this host's Open vSwitch."""
    output = run("ovs-vsctl", "--timeout=10", "--format=json", "--columns=external_ids", "list", "Open_vSwitch")
    return dict(json.loads(output)["data"][0][0][1])


def name_for(name: str, hostname: str, ids: Mapping[str, str]) -> str:
    """System-id of a host: the requested one, its present one if it is part of OVN, or its host name.

    Args:
        name: requested name, or "".
        hostname: name of the host.
        ids: external_ids of its Open vSwitch.

    Raises:
        FailedPrecondition: the host is part of OVN with another name.
    """
    present = ids.get("system-id", "") if ids.get("ovn-remote") else ""
    if name and present not in ("", name):
        raise FailedPrecondition(
            f"this host is part of OVN as {present}, not as {name}",
            "omit --name; its domains' ports belong to that name",
        )
    return name or present or hostname.partition(".")[0]


def system_id(name: str) -> Step:
    """Set the system-id persistently."""

    def is_done() -> bool:
        stored = SYSTEM_ID.read_text(encoding="utf-8").strip() if SYSTEM_ID.exists() else ""
        return stored == name == settings().get("system-id")

    def apply() -> None:
        SYSTEM_ID.write_text(f"{name}\n", encoding="utf-8")
        _set("system-id", name)

    return Step(f"the system-id is {name}", is_done, apply)


def setting(key: str, value: str) -> Step:
    """Set a key of external_ids."""
    return Step(f"Open vSwitch has {key}={value}", lambda: settings().get(key) == value, lambda: _set(key, value))


def list_setting(key: str, value: str) -> Step:
    """Add a value to a key of external_ids that is a list, with commas."""
    return Step(
        f"Open vSwitch has {value} in {key}",
        lambda: value in _listed(key),
        lambda: _set(key, ",".join((*_listed(key), value))),
    )


def integration_bridge(bridge: str) -> Step:
    """Wait for the integration bridge, which ovn-controller creates."""
    return Step(
        f"bridge {bridge} exists",
        lambda: bridge in bridges(),
        timeout=120,
        hint="systemctl status ovn-controller; see /var/log/ovn/ovn-controller.log",
    )


def bridges() -> list[str]:
    """List the bridges of this host's Open vSwitch."""
    return run("ovs-vsctl", "--timeout=10", "list-br").split()


def _listed(key: str) -> Sequence[str]:
    return [one for one in settings().get(key, "").split(",") if one]


def _set(key: str, value: str) -> None:
    # Without waiting for ovs-vswitchd: a step that needs the effect waits for it.
    run("ovs-vsctl", "--timeout=10", "--no-wait", "set", "Open_vSwitch", ".", f'external_ids:{key}="{value}"')
