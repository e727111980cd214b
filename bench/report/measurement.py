"""A measurement: a result, its baseline and its target."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

HEADINGS = ("what", "against", "is", "was", "is : was", "spread", "runs", "target", "")
_COMPARISONS = {"≤": operator.le, "≥": operator.ge, "=": operator.eq}


@dataclass(frozen=True)
class Target:
    """Target of a comparison: ``Target("≤", 1.3)`` for a ratio; with another unit than ``×`` for a difference."""

    sign: str
    limit: float
    unit: str = "×"

    def __str__(self) -> str:
        return f"{self.sign} {figure(self.limit, self.unit)}"

    def met(self, value: float) -> bool:
        """Return whether a value, rounded as it is shown, meets the target."""
        shown = float(figure(value, ""))
        return bool(_COMPARISONS[self.sign](shown, self.limit))


@dataclass(frozen=True)
class Measurement:
    """A result and its baseline.

    Attributes:
        subject: the file of bench that measured it.
        what: name of the result.
        against: name of the baseline; "" without one.
        unit: of the two figures.
        value: the median of what was measured.
        base: the median of what it is compared to.
        compared: of each run one by the other, or in the target's unit what it is more: the median.
        low: a tenth of them is below.
        high: a tenth of them is above.
        runs: how many of each there were.
        target: what `compared` is to be; None where it is only reported.
    """

    subject: str
    what: str
    against: str
    unit: str
    value: float
    base: float | None
    compared: float | None
    low: float | None
    high: float | None
    runs: int
    target: Target | None

    @property
    def met(self) -> bool | None:
        """True if the target is met; None without a target."""
        if self.target is None:
            return None
        return self.target.met(self.value if self.compared is None else self.compared)

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the table's line."""
        unit = "×" if self.target is None else self.target.unit
        unit = self.unit if self.compared is None else unit
        met = {True: "met", False: "NOT MET", None: ""}[self.met]
        spread = "" if self.low is None or self.high is None else f"{figure(self.low, '')} to {figure(self.high, unit)}"
        return (
            self.what,
            self.against,
            figure(self.value, self.unit),
            "" if self.base is None else figure(self.base, self.unit),
            "" if self.compared is None else figure(self.compared, unit),
            spread,
            str(self.runs),
            str(self.target) if self.target else "reported",
            met,
        )

    @property
    def record(self) -> dict[str, Any]:
        """The row as JSON."""
        return {**asdict(self), "met": self.met}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Measurement:
        """The row of a record."""
        fields = {key: value for key, value in record.items() if key != "met"}
        return cls(**{**fields, "target": Target(**record["target"]) if record["target"] else None})


def compare(
    subject: str,
    what: str,
    against: str,
    values: Sequence[float],
    bases: Sequence[float],
    *,
    target: Target | None,
    unit: str = "ms",
    inverse: bool = False,
) -> Measurement:
    """A row of a result with its baseline, measured in turn.

    Args:
        subject: as of Row, like what follows.
        what: likewise.
        against: likewise.
        values: of each run.
        bases: baseline of each run, or a single one for all.
        target: likewise.
        unit: likewise.
        inverse: whether the result is how many times less `values` are, or, of rates, how many times more.
    """
    pairs = list(zip(values, [*bases] * len(values) if len(bases) == 1 else bases, strict=True))
    if target and target.unit != "×":
        found = [value - base for value, base in pairs]
    else:
        found = [base / value if inverse else value / base for value, base in pairs]
    low, high = spread(found)
    return Measurement(
        subject, what, against, unit, median(values), median(bases), median(found), low, high, len(pairs), target
    )


def measured(
    subject: str, what: str, values: Sequence[float], unit: str = "", target: Target | None = None, runs: int = 0
) -> Measurement:
    """A row of a result without a baseline."""
    low, high = spread(values) if len(values) > 1 else (None, None)
    return Measurement(subject, what, "", unit, median(values), None, None, low, high, runs or len(values), target)


def spread(found: Sequence[float]) -> tuple[float, float]:
    """10th and 90th percentile."""
    if len(found) < 2:
        return found[0], found[0]
    tenths = quantiles(found, n=10, method="inclusive")
    return tenths[0], tenths[-1]


def figure(value: float, unit: str) -> str:
    """A number with significant digits and unit."""
    if value == int(value) or abs(value) >= 100:
        text = f"{value:.0f}"
    else:
        text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{text} {unit}".strip()
