"""``ovnhook status`` on a cloud of real daemons: ok while all run, and which one doesn't, with what to do about it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.cloud.world import World


def status(world: World) -> dict[str, Any]:
    """What the command says; its exit status says the same, and each problem has a hint."""
    done = world.control.run(["ovnhook", "status", "--format", "json"], check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0 if found["ok"] else 8, "")
    assert found["ok"] is not bool(found["problems"])
    assert all(one["hint"] for one in found["problems"])
    return found


def problems(world: World) -> list[str]:
    """What is wrong."""
    return [one["what"] for one in status(world)["problems"]]


def told_alone(world: World, words: str) -> None:
    """Wait until one problem is told, which begins with these words: a busy machine may be late with all else."""

    def alone() -> bool:
        found = problems(world)
        return len(found) == 1 and found[0].startswith(words)

    world.wait_for(alone, f"{words}, and nothing else", lambda: problems(world))


def test_a_healthy_cloud(world: World) -> None:
    """Everybody answers, every host has an agent, and the first word is ok."""
    found: dict[str, Any] = {}

    def ok() -> object:
        found.update(status(world))
        return found["ok"]

    world.wait_for(ok, "all to be well", lambda: found)
    assert found["northd"]["active"]
    assert found["northd"]["hosts_ms"] is not None
    assert [(one["name"], one["is_gateway"], one["ovn_behind"]) for one in found["nodes"]] == [
        ("control", True, 0),
        ("hv1", False, 0),
        ("hv2", False, 0),
    ]
    assert all(one["agent_version"] and one["agent_seen"] < 60 for one in found["nodes"])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", one["ovs_version"]) for one in found["nodes"])
    show = ["ovnhook", "status"]
    world.wait_for(lambda: world.control.run(show, check=False).stdout.startswith("ok\n"), "ok")


@pytest.mark.parametrize("verb", ["pause", "kill"])
@pytest.mark.parametrize(
    ("host", "daemon", "words"),
    [
        ("hv1", "ovn-controller", "host hv1: ovn-controller does not answer"),
        ("control", "northd", "ovn-northd does not answer"),
        ("control", "sb", "the southbound database can't be read"),
        ("control", "nb", "the northbound database can't be read"),
    ],
)
def test_a_daemon_that_is_frozen_or_dead(world: World, host: str, daemon: str, verb: str, words: str) -> None:
    """It is told, and nothing else is; when it runs again all is well."""
    world.wait_for(lambda: status(world)["ok"], "all to be well", lambda: problems(world))
    getattr(world.cloud.host(host).daemon(daemon), verb)()
    told_alone(world, words)
    world.make_whole()
    world.wait_for(lambda: status(world)["ok"], "all to be well again", lambda: problems(world))


def test_an_agent_that_ended(world: World) -> None:
    """It is told when it has been silent for long; when it is back it tells of itself."""
    agent = world.hv1.daemon("agent")
    agent.kill()
    mutate = ["ovn-sbctl", "set", "Chassis_Private", "hv1", f"external_ids:ovnhook\\:seen={int(time.time()) - 600}"]
    world.control.run(mutate)
    told_alone(world, "host hv1: its agent has not reported for 10 min")
    agent.start()
    world.wait_for(lambda: status(world)["ok"], "all to be well again", lambda: problems(world))


def test_a_host_without_power(world: World) -> None:
    """Neither of its daemons answers: that is one problem."""
    for daemon in ("agent", "ovn-controller"):
        world.hv1.daemon(daemon).kill()
    world.control.run(["ovn-sbctl", "set", "Chassis_Private", "hv1", "external_ids:ovnhook\\:seen=1"])
    told_alone(world, "host hv1 is unreachable: neither ovn-controller nor ovnhook-agent answers")
    world.make_whole()
    world.wait_for(lambda: status(world)["ok"], "all to be well again", lambda: problems(world))
