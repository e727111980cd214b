"""Where a hook of an earlier version, which may have been kept as a conffile, finds what it calls."""

from ovnhook.agent.lifecycle import answer_alone

__all__ = ["answer_alone"]
