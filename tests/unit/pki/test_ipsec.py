"""Packets between control hosts: what ip is told, and who says what before anything else is refused."""

from __future__ import annotations

import re

import pytest

from ovnhook.pki import fence, ipsec, members, x509
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Authority, Subject

AUTHORITY = Authority.new()


def host(number: int, address: str = "", mark: str = "") -> Member:
    """A control host."""
    subject = Subject(f"c{number}", x509.CONTROL)
    return Member(f"{subject} {mark or f'm{number}'}", subject, address=address or f"192.0.2.{number}")


def read(*hosts: Member, said: frozenset[str] = frozenset()) -> Members:
    """Members, read from entries."""
    entries = {one.key: f"{one.address} seal" for one in hosts} | dict.fromkeys(said, "- seal")
    return members.read(members.merged(entries, now=0))


def batch(own: Member, others: list[ipsec.Peer]) -> list[list[str]]:
    """What ip is told, as lists of words."""
    lines = ipsec.script(AUTHORITY, own.address, others).splitlines()
    begin = lines.index("ip -batch - <<END")
    end = lines.index("END", begin)
    assert lines[begin - 2 : begin] == [
        f"ip xfrm policy deleteall dir out priority {ipsec.PRIORITY}",
        f"ip xfrm state deleteall reqid {fence.REQID}",
    ]
    return [line.split() for line in lines[begin + 1 : end]]


@pytest.mark.parametrize("addresses", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
def test_two_hosts_have_the_same_associations(addresses: tuple[str, str]) -> None:
    """Each way another key; what one takes away before is what it set, and no more."""
    one, two = host(1, addresses[0]), host(2, addresses[1])
    found = read(one, two)
    there, here = (batch(own, ipsec.peers(found, own)) for own in (one, two))
    assert sorted(there) == sorted(here)
    assert len({words[words.index("auth-trunc") + 2] for words in there}) == 2
    assert len({words[words.index("spi") + 1] for words in there}) == 2
    assert batch(one, ipsec.peers(read(one), one)) == []


def test_all_that_control_hosts_alone_may_do_is_authenticated() -> None:
    """Once the other one accepts it: what this host asks there, and what it answers."""
    one, two = host(1), host(2)
    (peer,) = ipsec.peers(read(one, two, said=frozenset({members.accepts(two, one)})), one, {two.address})
    policies = [" ".join(words) for words in batch(one, [peer]) if words[:3] == ["xfrm", "policy", "add"]]
    ports = [re.search(r"src 192.0.2.1 dst 192.0.2.2 proto tcp (.port \d+) dir out", line) for line in policies]
    assert {found.group(1) for found in ports if found} == {
        f"{side}port {port}" for side in "sd" for port in (6643, 6644, 16642)
    }
    assert all(line.endswith("mode transport level required") for line in policies)


def test_nothing_else_is_authenticated_before_it_is_known_to_pass() -> None:
    """A call of one host from a port of its own, and the answer to the other's."""
    one, two = host(1), host(2)
    found = read(one, two, said=frozenset({members.accepts(two, one)}))
    (peer,) = ipsec.peers(found, one)
    policies = [" ".join(words) for words in batch(one, [peer]) if words[:3] == ["xfrm", "policy", "add"]]
    assert [line.partition(" dir out")[0].partition("proto tcp ")[2] for line in policies] == [
        "sport 16643 dport 6643",
        "sport 6643 dport 16643",
    ]
    assert members.sends(one, two) not in ipsec.announcements(one, [peer])
    assert not peer.needs_probe  # its answer is not let in yet, and would be no proof
    found = read(one, two, said=frozenset({members.accepts(two, one), members.accepts(one, two)}))
    assert ipsec.peers(found, one)[0].needs_probe
    (peer,) = ipsec.peers(found, one, {two.address})
    assert not peer.needs_probe
    assert members.sends(one, two) in ipsec.announcements(one, [peer])
    again = read(one, two, said=found.announced | {members.sends(one, two)})
    assert ipsec.peers(again, one)[0].is_secured  # after a start of its control service, whoever is off


def test_nobody_is_cut_off_while_hosts_are_upgraded_one_by_one() -> None:
    """Whatever the order in which hosts load what they have, and hear what others say, each accepts what is sent."""
    hosts = [host(1), host(2), host(3)]
    said: frozenset[str] = frozenset()
    loaded: dict[str, list[ipsec.Peer]] = {}
    passes: dict[str, set[str]] = {one.address: set() for one in hosts}
    for turn in (0, 1, 0, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2):
        own = hosts[turn]
        loaded[own.address] = ipsec.peers(read(*hosts, said=said), own, passes[own.address])
        said |= set(ipsec.announcements(own, loaded[own.address]))
        for other in loaded[own.address]:
            back = next((one for one in loaded.get(other.address, ()) if one.address == own.address), None)
            if other.needs_probe and back and back.accepts:
                passes[own.address].add(other.address)
        late = ipsec.unauthenticated(read(*hosts, said=said))
        assert set(late) >= {one.subject.name for one in hosts if one.address not in loaded}
        for here, others in loaded.items():
            for other in others:
                back = next((one for one in loaded.get(other.address, ()) if one.address == here), None)
                assert not other.accepts or back  # what is authenticated is understood
                assert not other.sends or (back and back.is_secured)  # what isn't, isn't sent
    assert all(one.is_secured and one.sends for others in loaded.values() for one in others)
    assert ipsec.unauthenticated(read(*hosts, said=said)) == []
    assert ipsec.unauthenticated(read(*hosts)) == []


def test_a_host_that_comes_back_as_another_one_begins_anew() -> None:
    """Its key is a new one, so what was said by the one before, and of it, is said no more."""
    one, before, after = host(1), host(2), host(2, mark="new")
    said = frozenset(
        entry(*pair) for entry in (members.accepts, members.sends) for pair in ((one, before), (before, one))
    )
    (peer,) = ipsec.peers(read(one, before, said=said), one)
    assert (peer.accepts, peer.sends) == (True, True)
    (peer,) = ipsec.peers(read(one, before, after, said=said), one)  # at one address, and not yet told from each other
    assert (peer.accepts, peer.sends) == (False, False)
    left = read(one, after, said=said | {f"gone {before.id}"})
    assert left.announced == frozenset()
    (peer,) = ipsec.peers(left, one)
    assert (peer.accepts, peer.sends) == (False, False)


def test_what_was_said_of_one_that_is_gone_is_not_taken_out() -> None:
    """An earlier version would put it back at each look; nobody's word for it is taken."""
    one, two = host(1), host(2)
    entries = {
        one.key: f"{one.address} seal",
        two.key: f"{two.address} seal",
        members.accepts(one, two): "- seal",
        members.sends(two, one): "- seal",
        f"gone {two.id}": "- seal",
    }
    merged = members.merged(entries, now=0)
    assert set(merged) == {one.key, members.accepts(one, two), f"gone {two.id}"}
    assert members.read(merged).announced == frozenset()


def test_hosts_of_two_families_have_no_associations() -> None:
    """They do not reach each other."""
    one, two = host(1), host(2, "2001:db8::2")
    assert batch(one, ipsec.peers(read(one, two), one)) == []
