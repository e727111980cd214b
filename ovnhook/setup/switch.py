"""What a host's Open vSwitch has to know for OVN: its external_ids (ovn-controller(8))."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovnhook.base.errors import InUse
from ovnhook.setup.command import run
from ovnhook.setup.step import Step

_SYSTEM_ID = Path("/etc/openvswitch/system-id.conf")  # Debian's service sets the system-id to this at each start


def settings() -> dict[str, str]:
    """The external_ids of this host's Open vSwitch."""
    said = run("ovs-vsctl", "--timeout=10", "--format=json", "--columns=external_ids", "list", "Open_vSwitch")
    return dict(json.loads(said)["data"][0][0][1])


def name_for(name: str, hostname: str, ids: Mapping[str, str]) -> str:
    """What a host is to be called in OVN: what was asked for, else what it takes part with, else its host name.

    Args:
        name: that was asked for, or "".
        hostname: of the host.
        ids: the external_ids of its Open vSwitch.

    Raises:
        InUse: it takes part in OVN with another name.
    """
    present = ids.get("system-id", "") if ids.get("ovn-remote") else ""
    if name and present not in ("", name):
        raise InUse(
            f"this host takes part in OVN as {present}, not as {name}",
            "leave --name out; its domains' ports belong to that name",
        )
    return name or present or hostname.partition(".")[0]


def named(name: str) -> Step:
    """The host has a name in OVN, the system-id, which it keeps over a reboot."""

    def is_so() -> bool:
        stored = _SYSTEM_ID.read_text(encoding="utf-8").strip() if _SYSTEM_ID.exists() else ""
        return stored == name == settings().get("system-id")

    def make_so() -> None:
        _SYSTEM_ID.write_text(f"{name}\n", encoding="utf-8")
        _set("system-id", name)

    return Step(f"this host is called {name} in OVN", is_so, make_so)


def knows(key: str, value: str) -> Step:
    """Open vSwitch has a setting, a key of its external_ids."""
    return Step(f"Open vSwitch has {key}={value}", lambda: settings().get(key) == value, lambda: _set(key, value))


def knows_also(key: str, value: str) -> Step:
    """A setting that is a list, with commas, has a value beside those that it has."""
    return Step(
        f"Open vSwitch has {value} in {key}",
        lambda: value in _listed(key),
        lambda: _set(key, ",".join((*_listed(key), value))),
    )


def integrated(bridge: str) -> Step:
    """The integration bridge is there, which ovn-controller makes."""
    return Step(
        f"the bridge {bridge} is there",
        lambda: bridge in bridges(),
        within=120,
        hint="systemctl status ovn-controller; its log is /var/log/ovn/ovn-controller.log",
    )


def bridges() -> list[str]:
    """All bridges of this host's Open vSwitch."""
    return run("ovs-vsctl", "--timeout=10", "list-br").split()


def _listed(key: str) -> Sequence[str]:
    return [one for one in settings().get(key, "").split(",") if one]


def _set(key: str, value: str) -> None:
    # Its daemon need not carry it out at once: a step that needs that waits for it.
    run("ovs-vsctl", "--timeout=10", "--no-wait", "set", "Open_vSwitch", ".", f'external_ids:{key}="{value}"')
