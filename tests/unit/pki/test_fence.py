"""The rules that keep nodes from what control hosts have among themselves, as nft reads them."""

from __future__ import annotations

import subprocess

import pytest

from ovnhook.base.errors import InvalidRequest
from ovnhook.pki import fence, members, x509
from ovnhook.pki.x509 import Authority


@pytest.mark.parametrize("hosts", [["192.0.2.1"], ["192.0.2.2", "2001:db8::1", "192.0.2.1"], ["2001:db8::1"], []])
def test_nft_understands_them(hosts: list[str]) -> None:
    """Whether packets of all control hosts are authenticated, or of some, or of none."""
    for plain in (hosts, hosts[:1], []):
        text = fence.rules(hosts, plain, hosts)
        done = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        _check_order(text)
        assert fence.rules(reversed(hosts), reversed(plain), reversed(hosts)) == text


def _check_order(text: str) -> None:
    """Who may reach the ports comes before all others are kept from them, and so do answers that are authenticated."""
    lines = [line.strip() for line in text.splitlines() if " dport " in line or " sport " in line]
    reach = [line for line in lines if " sport " not in line]
    answers = [line for line in lines if " sport " in line]
    assert reach[-1] == "tcp dport { 6643, 6644, 16642 } drop"
    assert all(line.endswith(" accept") for line in reach[:-1])
    own = f" ipsec in reqid {fence.REQID} accept"
    assert all(" saddr " in line or line.endswith(own) for line in reach[:-1])
    assert [line.removesuffix(own) for line in answers[::2]] == [line.removesuffix(" drop") for line in answers[1::2]]
    assert all(line.endswith(own) for line in answers[::2])


def test_whose_address_is_enough() -> None:
    """Of those alone that may not be able to authenticate what they send; of the others no answer is enough either."""
    lines = [line.strip() for line in fence.rules(["192.0.2.1", "192.0.2.2"], ["192.0.2.2"]).splitlines()]
    begin = lines.index("ip6 nexthdr ah accept")
    ports, own = "{ 6643, 6644, 16642 }", f"ipsec in reqid {fence.REQID}"
    assert lines[begin + 1 : -2] == [
        f"tcp dport {ports} {own} accept",
        f"ip saddr {{ 192.0.2.2 }} tcp dport {ports} accept",
        f"tcp dport {ports} drop",
        f"ip saddr {{ 192.0.2.1 }} tcp sport {ports} {own} accept",
        f"ip saddr {{ 192.0.2.1 }} tcp sport {ports} drop",
    ]


@pytest.mark.parametrize("hosts", [["192.0.2.1", "192.0.2.2", "2001:db8::1"], []])
def test_the_northbound_database_is_for_control_hosts(hosts: list[str]) -> None:
    """Once nodes have no access to it, by addresses: its server accepts no other certificate either."""
    text = fence.rules(hosts, hosts[1:], is_closed=True)
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in text.splitlines() if "dport 6641" in line]
    sources = ["ip saddr { 192.0.2.1, 192.0.2.2 }", "ip6 saddr { 2001:db8::1 }"] if hosts else []
    assert lines == [*(f"{source} tcp dport 6641 accept" for source in sources), "tcp dport 6641 drop"]
    assert "6641" not in fence.rules(hosts)


@pytest.mark.parametrize(
    "address", ["fe80::1%x }; flush ruleset; #", "fe80::1%1", "192.0.2.1 }; flush ruleset; #", "192.0.2.1\n", "c1", ""]
)
def test_what_is_no_address_is_no_rule(address: str) -> None:
    """Nor is it a control host, whoever has sealed it; the others are."""
    with pytest.raises(ValueError, match=r"scope|address"):
        fence.rules(["192.0.2.2", address])
    entries = {"control c1 a": f"{address} seal", "control c2 b": "192.0.2.2 seal"}
    assert members.read(entries).servers == {"c2": "192.0.2.2"}


@pytest.mark.parametrize("address", ["fe80::1%x }; flush ruleset; #", "fe80::1%1", "0x7f000001", "192.0.2.1/24"])
def test_no_certificate_is_for_what_is_no_address(address: str) -> None:
    """A control host that joins by one is refused."""
    with pytest.raises(InvalidRequest, match="a control host's address: "):
        Authority.new().issue_server(x509.request(x509.new_key()), "c1", [address])
