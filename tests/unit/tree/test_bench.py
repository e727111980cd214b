"""What the table of the benchmarks says of figures."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.report import chart, results, table
from bench.report.measurement import Measurement, Target, compare, figure, measured


def row(values: list[float], bases: list[float], target: Target | None, *, inverse: bool = False) -> Measurement:
    """A row of the hook's."""
    return compare("hook", "one", "other", values, bases, target=target, inverse=inverse)


def test_pairs_are_compared_one_by_one() -> None:
    """A slow moment of the machine that hits both does not show."""
    found = row([2.0, 20.0, 4.0], [1.0, 10.0, 2.0], Target("≤", 2.0))
    assert (found.value, found.base, found.compared, found.met) == (4.0, 2.0, 2.0, True)
    assert (found.low, found.high) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("values", "bases", "target", "inverse", "compared", "met"),
    [
        ([12.0], [10.0], Target("≤", 1.2), False, 1.2, True),
        ([12.1], [10.0], Target("≤", 1.2), False, 1.21, False),
        ([10.0], [100.0], Target("≥", 10.0), True, 10.0, True),
        ([100.0], [50.0], Target("≥", 2.5), False, 2.0, False),
        ([100.0], [50.0], Target("≤", 60, "ms"), False, 50.0, True),
        ([5.0], [3.0], Target("=", 1.0), False, 5 / 3, False),
        ([5.0], [3.0], None, False, 5 / 3, None),
    ],
)
def test_what_is_met(
    values: list[float], bases: list[float], target: Target | None, inverse: bool, compared: float, met: bool | None
) -> None:
    """As it is shown: 1.204 is 1.20."""
    found = row(values, bases, target, inverse=inverse)
    assert found.compared == pytest.approx(compared)
    assert found.met is met


def test_a_row_comes_back_from_its_record() -> None:
    """What is kept for machines is all of it."""
    for one in (row([1.0], [2.0], Target("≤", 1.0)), measured("agent", "alone", [3.0], "ms"), row([1.0], [2.0], None)):
        assert Measurement.of(json.loads(json.dumps(one.record))) == one


@pytest.mark.parametrize(("number", "text"), [(2, "2 ms"), (1.234, "1.23 ms"), (12.34, "12.3 ms"), (123.4, "123 ms")])
def test_figures_have_as_many_digits_as_mean_something(number: float, text: str) -> None:
    """Three."""
    assert figure(number, "ms") == text


def test_new_rows_take_the_place_of_their_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other subjects stay; the page keeps what people have written around the table."""
    for name in ("RECORDS", "CHART", "PAGE"):
        monkeypatch.setattr(results, f"_{name}", tmp_path / name)
    monkeypatch.setattr(results, "machine", lambda: {"processors": "2"})
    (tmp_path / "PAGE").write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    hook, agent = row([3.0], [2.0], Target("≤", 2.0)), measured("agent", "alone", [3.0], "ms")
    for rows in ([agent, agent], [hook], [agent]):
        results.keep(rows, ["hook", "agent"])
    page = (tmp_path / "PAGE").read_text()
    assert page.startswith("before\n<!-- figures -->\n")
    assert page.endswith("<!-- end of figures -->\nafter\n")
    assert table.markdown([hook, agent]) in page
    assert "\nold\n" not in page
    assert [one["subject"] for one in json.loads((tmp_path / "RECORDS").read_text())["rows"]] == ["hook", "agent"]


def test_the_chart_is_a_picture() -> None:
    """Each bar once, the least first."""
    drawn = ElementTree.fromstring(chart.draw([row([3.0], [200.0], None), row([3.0], [200.0], None)]))
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") != "100%"]
    widths = [float(one.get("width", "")) for one in bars]
    assert len(widths) == 2
    assert widths == sorted(widths)
