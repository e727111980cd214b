"""Compatibility module for the hook of an earlier version, which may remain as a conffile."""

from ovnhook.agent.lifecycle import answer_alone

__all__ = ["answer_alone"]
