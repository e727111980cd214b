"""A disturbance of a cloud by a cell: it begins, lasts and ends, and may leave something to check."""

from __future__ import annotations


class Disturbance:
    """One fault of one part. What a kind of fault has no need of does nothing."""

    def begin(self) -> None:
        """Break it."""

    def hold(self) -> None:
        """Wait as long as the fault lasts."""

    def end(self) -> None:
        """Make it whole, where nobody else is to."""

    def wrong(self) -> list[str]:
        """What does not hold of what only this fault concerns, in words; asked when all is as wanted again."""
        return []

    def withdraw(self) -> None:
        """Take away what was there all the while, when the domains of the cell have gone."""
