"""The page of what was seen on machines is the one that its results give."""

from __future__ import annotations

from tests.machines import sightings


def test_the_page_is_rendered_from_its_results() -> None:
    """Nobody has edited it."""
    assert sightings.PAGE.read_text() == sightings.render(sightings.read())


def test_a_result_is_shown_for_its_release() -> None:
    """Passed, failed, and not run."""
    passed = sightings.Sighting("one_host::start", "bookworm", "It starts.", True, ("in time",), "linux 6.1")
    failed = sightings.Sighting("one_host::purge", "bookworm", "It goes.", False, (), "linux 6.1")
    page = sightings.render([passed, failed])
    assert "| one_host::start | It starts. | ✓ | · |" in page
    assert "| one_host::purge | It goes. | ✗ | · |" in page
    assert "- one_host::start, bookworm: in time\n" in page
