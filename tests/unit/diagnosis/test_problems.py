"""What is wrong, in words: each problem by itself, in which order, and that nothing is said of what is well."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.diagnosis.cloudstate import Certificate, CloudState, DatabaseState, Foreign, Pace, RouterGateway, SubnetUse
from ovnhook.diagnosis.problems import Problem, notes, problems, span
from ovnhook.ovsdb.serverstate import ServerStatus
from ovnhook.resources.chassis import Node
from ovnhook.resources.router.values import External, InterfaceAddress, Router
from ovnhook.resources.subnet.values import Subnet

NOW = 1_000_000.0
DAY = 86_400
ROUTER = Router(
    "gateway", External("external", InterfaceAddress(IPAddress("203.0.113.10"), 24), IPAddress("203.0.113.1"))
)
GW1 = Node(
    "gw1",
    is_gateway=True,
    physical_networks=frozenset({"external"}),
    agent="1.0",
    agent_seen=int(NOW) - 20,
    ovs="3.1",
    uses_api=True,
)
GW2 = replace(GW1, name="gw2")
HV1 = Node("hv1", agent="1.0", agent_seen=int(NOW) - 5, uses_api=True)
ALONE = ServerStatus("unix:/nb", model="standalone", connected=True, leader=True)
WELL = CloudState(
    now=NOW,
    databases=(
        DatabaseState("northbound", (ALONE,)),
        DatabaseState("southbound", (replace(ALONE, remote="unix:/sb"),)),
    ),
    pace=Pace(3, {"gw1": 5, "gw2": 5, "hv1": 9}),
    nodes=(GW1, GW2, HV1),
    router_gateways=(RouterGateway(ROUTER, ("gw1", "gw2"), "gw1"),),
    uses=(SubnetUse("blue", 89, 100), SubnetUse("green", 0, 5)),
    certificates=(Certificate("hv1", "node", NOW + 16 * DAY),),
)


def told(seen: CloudState) -> list[str]:
    """What is wrong; each with a hint."""
    found = problems(seen)
    assert all(one.hint and "\n" not in one.what + one.hint for one in found)
    return [one.what for one in found]


BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"))
RESOLVED = replace(BLUE, resolvers=(IPAddress("10.1.0.2"),))
SERVING = tuple(replace(one, serves_dns=True) for one in (GW1, GW2, HV1))


@pytest.mark.parametrize(
    ("version", "is_vulnerable"),
    [
        *(("23.03.1-20.27.0-70.6", True), ("24.03.4-20.33.0-72.6", True), ("24.09.1-20.37.0-77.0", True)),
        *(("24.03.5-20.33.0-72.6", False), ("24.09.2-20.37.0-77.0", False), ("25.03.0-20.41.0-80.0", False)),
        *(("", False), ("unknown", False)),
    ],
)
def test_records_in_a_vulnerable_ovn(version: str, is_vulnerable: bool) -> None:
    """They are noted while there are any, with their end; in others they are no problem."""
    recorded = replace(RESOLVED, records_until=int(NOW) + 1800)
    seen = replace(WELL, nodes=SERVING, recorded=(recorded,), northd_version=version)
    words = (
        "subnet blue: for 30 min OVN still answers the guests' DNS queries, and OVN"
        f" {version.partition('-')[0]} lets packets from UDP port 53 pass ACLs meanwhile (CVE-2025-0650), until all"
        " guests have renewed their DHCP leases and know the resolver"
    )
    assert problems(seen) == ()
    assert notes(seen) == ((words,) if is_vulnerable else ())
    assert notes(replace(seen, recorded=())) == ()


@pytest.mark.parametrize(
    ("nodes", "subnet", "hint"),
    [
        ((GW1, *SERVING[1:]), BLUE, "once ovnhook is upgraded on gw1"),
        ((replace(GW1, serves_dns=False), *SERVING[1:]), BLUE, "do not run on gw1: ovnhook check there"),
        ((replace(GW1, agent_seen=0), *SERVING[1:]), BLUE, "no address is free for the resolver in blue"),
        (SERVING, BLUE, "no address is free for the resolver in blue"),
        (SERVING, RESOLVED, ""),
    ],
)
def test_why_there_are_records(nodes: tuple[Node, ...], subnet: Subnet, hint: str) -> None:
    """Hosts that are not upgraded, or fail, but no dead ones; a full subnet; or time that has to pass."""
    seen = replace(WELL, nodes=nodes, recorded=(subnet,), northd_version="23.03.1")
    found = [one for one in problems(seen) if "DNS" in one.what]
    assert bool(found) == bool(hint)
    assert len(notes(seen)) == (0 if hint else 1)
    for one in found:
        assert hint in one.hint
        assert one.what.endswith(" pass ACLs meanwhile (CVE-2025-0650)")
    words = "subnet blue: OVN answers the guests' DNS queries, but few kinds of them"
    found = [one for one in problems(replace(seen, northd_version="25.03.0")) if "DNS" in one.what]
    assert [one.what for one in found] == ([words] if hint else [])


def test_all_is_well() -> None:
    """Then nothing is said; nor where nothing is."""
    assert problems(WELL) == ()
    assert problems(CloudState(NOW)) == ()


def with_node(node: Node) -> CloudState:
    """All is well but for this one."""
    return replace(WELL, nodes=tuple(node if one.name == node.name else one for one in WELL.nodes))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            replace(WELL, foreign=(Foreign("northbound", "Connection 'ptcp:6641'", NOW - 300),)),
            "the northbound database had a foreign row 5 min ago, now removed: Connection 'ptcp:6641'",
        ),
        (
            replace(WELL, follows_rows=True),
            "the northbound database's server on this host listens where its rows say, and every node can write them",
        ),
        (
            replace(WELL, accepts_nodes=True),
            "the northbound database's server on this host accepts every node's certificate",
        ),
        (
            replace(WELL, pending=("hv1",)),
            "host hv1 does not use the API yet: the northbound database stays open to all nodes",
        ),
        (
            with_node(replace(HV1, agent="0.9", uses_api=False)),
            "host hv1: its agent, 0.9, is an earlier version, which does not use the API",
        ),
        (
            replace(WELL, unanswered=("c2",)),
            "control host c2 does not answer authenticated packets: IP protocol 51 is blocked, or it is down",
        ),
        (
            replace(WELL, is_fence_missing=True),
            "this control host has not loaded its firewall rules: cluster ports are open to others, not to members",
        ),
        (
            replace(WELL, pace=Pace(None, {"gw1": None, "gw2": None, "hv1": None})),
            "ovn-northd does not answer: network changes do not reach the hosts",
        ),
        (
            replace(WELL, pace=Pace(3, {"gw1": 5, "gw2": 5, "hv1": None})),
            "host hv1: ovn-controller does not answer: network changes do not reach it",
        ),
        (
            replace(WELL, pace=Pace(3, {"gw1": 5, "gw2": 5})),
            "host hv1: ovn-controller does not answer: network changes do not reach it",
        ),
        (with_node(replace(HV1, agent="", agent_seen=0)), "host hv1 has no agent"),
        (
            with_node(replace(HV1, agent_seen=int(NOW) - 100)),
            "host hv1: its agent has not reported for 100 s",
        ),
        (
            with_node(replace(HV1, agent_seen=int(NOW) + 300)),
            "host hv1: its clock is 5 min ahead of the control host's",
        ),
        (
            replace(
                with_node(replace(HV1, agent_seen=int(NOW) - 100)), pace=Pace(3, {"gw1": 5, "gw2": 5, "hv1": None})
            ),
            "host hv1 is unreachable: neither ovn-controller nor ovnhook-agent answers",
        ),
        (
            with_node(replace(GW2, uplinks_down=frozenset({"external"}))),
            "host gw2 has no link to the physical network external that is up",
        ),
        (
            replace(WELL, nodes=(HV1,)),
            "router gateway has no external connectivity: no host is enabled as a gateway",
        ),
        (
            replace(WELL, nodes=tuple(replace(one, physical_networks=frozenset({"else"})) for one in WELL.nodes)),
            "router gateway has no external connectivity: no gateway host has a bridge for physical network external",
        ),
        (
            replace(WELL, router_gateways=(RouterGateway(ROUTER, ("gw1", "gw2")),)),
            "router gateway has no external connectivity: no gateway host (gw1, gw2) is active",
        ),
        (
            replace(WELL, certificates=(Certificate("hv1", "node", NOW + 9.2 * DAY),)),
            "host hv1: its node certificate expires in 9 d and was not renewed",
        ),
        (
            replace(WELL, certificates=(Certificate("c1", "control", NOW - 3 * DAY),)),
            "host c1: its control certificate expired 3 d ago",
        ),
        (
            replace(WELL, uses=(SubnetUse("blue", 90, 100),)),
            "subnet blue is nearly full: 90 of 100 addresses are leased",
        ),
        (replace(WELL, uses=(SubnetUse("blue", 100, 100),)), "subnet blue is full: 100 of 100 addresses are leased"),
        (
            replace(
                WELL, databases=(DatabaseState("northbound", (ALONE, ServerStatus("tcp:x", "no answer in time"))),)
            ),
            "the northbound database: its server tcp:x does not answer: no answer in time",
        ),
        (
            replace(WELL, databases=(DatabaseState("northbound", (ALONE, ServerStatus("tcp:x", model="clustered"))),)),
            "the northbound database: its server tcp:x is disconnected from its cluster",
        ),
        (
            replace(
                WELL, databases=(DatabaseState("northbound", (ServerStatus("tcp:x", "refused"),), "OVN: refused"),)
            ),
            "the northbound database can't be read: OVN: refused",
        ),
    ],
)
def test_each_problem(seen: CloudState, words: str) -> None:
    """Is told by itself, once."""
    assert told(seen) == [words]


def test_all_links_outside_are_down() -> None:
    """The router's trouble first, then each host's."""
    nodes = tuple(replace(one, uplinks_down=one.physical_networks) for one in WELL.nodes)
    assert told(replace(WELL, nodes=nodes)) == [
        "router gateway has no external connectivity: no gateway host (gw1, gw2) has a link to external that is up",
        "host gw1 has no link to the physical network external that is up",
        "host gw2 has no link to the physical network external that is up",
    ]


def test_what_is_not_known_is_not_told() -> None:
    """While the southbound database is away nothing is said of hosts and of active gateways."""
    away = DatabaseState("southbound", (ServerStatus("unix:/sb", "refused"),), "refused")
    seen = replace(WELL, databases=(away,), pace=None, nodes=(), router_gateways=(RouterGateway(ROUTER, ("gw1",)),))
    assert told(seen) == ["the southbound database can't be read: refused"]


def test_the_order() -> None:
    """What stops everything, what stops traffic, what may come to that."""
    seen = CloudState(
        now=NOW,
        databases=(DatabaseState("northbound", (ALONE, ServerStatus("tcp:x", "no answer in time"))),),
        pace=Pace(3, {"gw1": None, "gw2": 4, "hv1": 4}),
        nodes=(GW1, replace(GW2, agent=""), HV1),
        router_gateways=(RouterGateway(ROUTER, ("gw1", "gw2")),),
        uses=(SubnetUse("blue", 9, 10), SubnetUse("green", 10, 10)),
    )
    order = ["router gateway", "host gw1", "host gw2", "the northbound", "subnet green", "subnet blue"]
    said = told(seen)
    assert len(said) == len(order)
    assert all(words.startswith(first) for words, first in zip(said, order, strict=True))
    dead = replace(seen, databases=(DatabaseState("northbound", error="x"),), pace=Pace(None, {}))
    assert [words.split(":")[0] for words in told(dead)][:2] == [
        "the northbound database can't be read",
        "ovn-northd does not answer",
    ]


def test_hints_name_the_unit() -> None:
    """Of the database that is meant."""
    (problem,) = problems(CloudState(NOW, databases=(DatabaseState("southbound", error="x"),)))
    assert isinstance(problem, Problem)
    assert "ovn-ovsdb-server-sb" in problem.hint


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_span(seconds: float, words: str) -> None:
    """In the unit that people would choose."""
    assert span(seconds) == words


def test_a_control_host_that_is_known_by_its_address_alone() -> None:
    """Whoever takes the address would be taken for it."""
    assert told(replace(WELL, unauthenticated=("c2",))) == [
        "control host c2 does not authenticate its packets: its address alone opens the cluster's ports"
    ]
