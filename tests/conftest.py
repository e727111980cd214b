"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples in every run: a failure is one of the code's, never one of luck.
settings.register_profile("ovnhook", derandomize=True, deadline=None, database=None)
settings.load_profile("ovnhook")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--regenerate``."""
    parser.addoption("--regenerate", action="store_true", help="write tests/golden/*.plan anew: read the difference")


@pytest.hookimpl(hookwrapper=True)  # type: ignore[untyped-decorator]
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Say of a failure that QEMU has broken a guest: ``make test`` does such a test again, and no other."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        fixtures = getattr(item, "funcargs", {}).values()
        stuck = [guest for fixture in fixtures for guest in getattr(fixture, "stuck_guests", list)()]
        if stuck:
            report.longrepr.reprcrash.message += f"\nguests that QEMU has broken: {', '.join(stuck)}"
