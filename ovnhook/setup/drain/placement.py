"""Selection of target nodes for a drain. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovnhook.base.errors import InvalidRequest, NotFound, Unavailable
from ovnhook.diagnosis.problems import STALE, span

_SHARED = {
    *("nfs", "nfs4", "cifs", "smb3", "afs", "ceph", "gfs2", "ocfs2", "gpfs", "lustre", "beegfs", "pvfs2"),
    *("fuse.glusterfs", "fuse.ceph-fuse", "fuse.quobyte", "fuse.mfs", "fuse.juicefs"),
}


def targets(seen: Mapping[str, int | None], here: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Nodes that are ready, except the drained one; only the requested ones, if any.

    Args:
        seen: seconds since the last report of each node's agent, or None without one.
        here: node to drain.
        wanted: names of the requested nodes, empty for any.

    Raises:
        InvalidRequest: the drained node itself is requested.
        NotFound: a requested node does not exist.
        Unavailable: a requested node's agent does not report.
    """
    for name in wanted:
        if name == here:
            raise InvalidRequest(f"--to {here}: cannot be the drained node itself")
        if name not in seen:
            raise NotFound(f"there is no node '{name}'", "ovnhook node list, on the control host")
        if not _is_ready(age := seen[name]):
            when = "has never reported" if age is None else f"last reported {span(age)} ago"
            raise Unavailable(
                f"node {name} is not ready: its agent {when}", f"on {name}: systemctl status ovnhook-agent"
            )
    if wanted:
        return tuple(dict.fromkeys(wanted))
    return tuple(name for name, age in seen.items() if name != here and _is_ready(age))


def emptiest_first(interfaces: Mapping[str, int]) -> tuple[str, ...]:
    """Sort nodes in the order in which a domain tries them.

    Args:
        interfaces: number of interfaces on each node.
    """
    return tuple(sorted(interfaces, key=lambda name: (interfaces[name], name)))


def is_shared(filesystem: str) -> bool:
    """Test for a type of filesystem, as in mount(8), that is shared between hosts."""
    return filesystem in _SHARED


def _is_ready(age: int | None) -> bool:
    return age is not None and age < STALE
