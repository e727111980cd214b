"""Attach and detach of domains: read, plan, commit; repeated after a conflict."""
