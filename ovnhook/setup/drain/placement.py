"""Where domains go that have to leave their host: which nodes can take them, and which of those comes first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovnhook.base.errors import InvalidRequest, NotFound, Unavailable
from ovnhook.diagnosis.problems import STALE, span
from ovnhook.resources.chassis import Node

_SHARED = {
    *("nfs", "nfs4", "cifs", "smb3", "afs", "ceph", "gfs2", "ocfs2", "gpfs", "lustre", "beegfs", "pvfs2"),
    *("fuse.glusterfs", "fuse.ceph-fuse", "fuse.quobyte", "fuse.mfs", "fuse.juicefs"),
}


def others(nodes: Sequence[Node], here: str, wanted: Sequence[str], now: float) -> tuple[str, ...]:
    """The nodes that are there, beside this one; those that were wanted, where any were.

    Args:
        nodes: of the cloud.
        here: the node that is left.
        wanted: names, or nothing for any.
        now: seconds since 1970.

    Raises:
        InvalidRequest: the node that is left is wanted.
        NotFound: a node that does not exist is wanted.
        Unavailable: a node is wanted whose agent does not tell of it.
    """
    known = {node.name: node for node in nodes}
    for name in wanted:
        if name == here:
            raise InvalidRequest(f"domains can't go from node {here} to node {here}")
        if name not in known:
            raise NotFound(f"there is no node '{name}'", "ovnhook node list, on the control host")
        if not _is_there(known[name], now):
            seen = known[name].agent_seen
            when = f"told of it {span(now - seen)} ago, and not since" if seen else "has never told of it"
            raise Unavailable(
                f"node {name} may not be there: its agent {when}", f"on {name}: systemctl status ovnhook-agent"
            )
    if wanted:
        return tuple(dict.fromkeys(wanted))
    return tuple(node.name for node in nodes if node.name != here and _is_there(node, now))


def emptiest_first(interfaces: Mapping[str, int]) -> tuple[str, ...]:
    """Nodes in the order in which a domain tries them.

    Args:
        interfaces: how many each has.
    """
    return tuple(sorted(interfaces, key=lambda name: (interfaces[name], name)))


def is_shared(filesystem: str) -> bool:
    """Whether a kind of filesystem, as mount(8) calls it, is one that other hosts have too."""
    return filesystem in _SHARED


def _is_there(node: Node, now: float) -> bool:
    return abs(now - node.agent_seen) < STALE
