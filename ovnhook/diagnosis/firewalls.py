"""Other firewalls of a host that drop packets of guests, and the commands that let them pass. Pure.

Each firewall decides on its own: a rule of ovnhook can't accept what another one drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ovnhook.diagnosis import iptables, nftables
from ovnhook.diagnosis.packetfilter import Block, FilteredPacket, Table, blocks


@dataclass(frozen=True)
class Rulesets:
    """Rulesets of a host, as commands print them.

    Attributes:
        nft: output of ``nft --json list ruleset``, or "".
        saved: outputs of ``iptables-nft-save`` and alike, by the command that changes them: ``iptables-nft``,
            ``ip6tables-legacy``.
    """

    nft: str = ""
    saved: tuple[tuple[str, str], ...] = ()

    def tables(self) -> list[Table]:
        """All tables.

        nft shows tables of iptables-nft, too, but not all of their conditions.

        Raises:
            ValueError: an output can't be parsed.
        """
        saved = [table for tool, text in self.saved for table in iptables.parse(text, tool)]
        known = {(table.family, table.name) for table in saved if table.tool.endswith("-nft")}
        found = nftables.parse(self.nft) if self.nft else []
        return [*(table for table in found if (table.family, table.name) not in known), *saved]


@dataclass(frozen=True)
class Passage:
    """Packets that have to pass.

    Attributes:
        packet: one of them.
        what: what they are, for messages.
        devices: name of the interface of ovnhook's; ``+`` at its end stands for any text, as in iptables(8).
    """

    packet: FilteredPacket
    what: str
    devices: str


@dataclass(frozen=True)
class Blocked:
    """Packets that a firewall drops.

    Attributes:
        what: one sentence.
        hint: the commands that let them pass.
    """

    what: str
    hint: str


def forwarded(bridge: str, uplinks: Mapping[int, Iterable[str]]) -> Iterator[Passage]:
    """Connections of guests to other networks: what they send, and the replies.

    Args:
        bridge: interface of the host that guests' packets come from.
        uplinks: interfaces of the host's default routes, by version of IP.
    """
    what = f"connections of guests from {bridge}"
    for version, uplink in ((version, uplink) for version, some in uplinks.items() for uplink in some):
        sent = FilteredPacket("forward", version, bridge, uplink, protocol="tcp", port=443)
        yield Passage(sent, f"{what} to {uplink}", bridge)
        yield Passage(replace(sent, input=uplink, output=bridge, is_reply=True), f"{what} to {uplink}", bridge)


def received(interface: str, devices: str, ports: Mapping[str, int], what: str) -> Iterator[Passage]:
    """Connections from guests' namespaces to this host.

    Args:
        interface: one of the interfaces that they come by.
        devices: all of them, see `Passage`.
        ports: by protocol.
        what: what they are, for messages.
    """
    for protocol, port in ports.items():
        yield Passage(FilteredPacket("input", 4, interface, protocol=protocol, port=port), what, devices)


def blocked(rulesets: Rulesets, passages: Iterable[Passage]) -> list[Blocked]:
    """Problems of packets that have to pass, each once.

    Raises:
        ValueError: a ruleset can't be parsed.
    """
    tables = rulesets.tables()
    wanted: dict[str, set[int]] = {}
    found: dict[tuple[str, str, str], set[int]] = {}
    for passage in passages:
        version = passage.packet.version
        wanted.setdefault(passage.what, set()).add(version)
        for block in blocks(tables, passage.packet):
            who, hint = _advice(block, passage.devices)
            found.setdefault((who, passage.what, hint), set()).add(version)
    return [
        Blocked(f"{who} drops {what}" + ("" if versions == wanted[what] else f", of IPv{min(versions)}"), hint)
        for (who, what, hint), versions in found.items()
    ]


def _advice(block: Block, device: str) -> tuple[str, str]:
    """Name of a firewall, and commands that let packets of an interface pass, in both directions."""
    table = block.table
    is_forward = block.packet.hook == "forward"
    if table.name == "firewalld":
        return "firewalld", f"firewall-cmd --permanent --zone=trusted --add-interface={device}; firewall-cmd --reload"
    if any(name.startswith("ufw") for name in table.chains):
        return "ufw", f"ufw {'route ' if is_forward else ''}allow in on {device}"
    if table.tool == "nft":
        device = f"{device[:-1]}*" if device.endswith("+") else device
        where = f"{table.family} {table.name} {block.chain}"
        commands = [f'nft insert rule {where} iifname "{device}" accept']
        if is_forward:
            commands.append(f'nft insert rule {where} oifname "{device}" ct state established,related accept')
        return f"chain {block.chain} of the nftables table {table.family} {table.name}", "; ".join(commands)
    is_docker = is_forward and "DOCKER-USER" in table.chains
    chain = "DOCKER-USER" if is_docker else block.chain
    commands = [f"{table.tool} -I {chain} -i {device} -j ACCEPT"]
    if is_forward:
        commands.append(f"{table.tool} -I {chain} -o {device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    who = "Docker" if is_docker else f"chain {block.chain} of {table.tool}"
    return who, "; ".join(commands)
