"""Transcripts of the documentation: what is a command, and which outputs are those that are written there."""

from __future__ import annotations

import pytest

from tests.cloud.transcript import TranscriptStep, Values, steps

PAGE = """
```sh
make demo
```

```console
hv1# virsh start web1
Domain 'web1' started

web1$ ping -c 1 10.1.0.57
…
1 packets received
```

Later:

1. In a list:

   ```console
   control# ovnhook status
   ok
   ```
"""


def test_the_steps_of_a_page() -> None:
    """In order, from all transcripts and from nothing else."""
    assert list(steps(PAGE)) == [
        TranscriptStep("hv1", False, "virsh start web1", ("Domain 'web1' started",)),
        TranscriptStep("web1", True, "ping -c 1 10.1.0.57", ("…", "1 packets received")),
        TranscriptStep("control", False, "ovnhook status", ("ok",)),
    ]


def test_a_transcript_that_begins_without_a_prompt() -> None:
    """It is refused, for its first lines would be compared with nothing."""
    with pytest.raises(ValueError, match="ok"):
        list(steps("```console\nok\n```\n"))


def test_examples_are_the_same_value_throughout() -> None:
    """In one output, in the next one and in what is typed."""
    values = Values()
    assert values.fit(("web1 10.1.0.57", "again 10.1.0.57"), "web1    10.1.0.8\n\nagain 10.1.0.8\n")
    assert values.typed("ping 10.1.0.57") == "ping 10.1.0.8"
    assert values.fit(("from 10.1.0.57",), "from 10.1.0.8")
    assert not values.fit(("from 10.1.0.57",), "from 10.1.0.57")
    assert not Values().fit(("10.1.0.57 10.1.0.57",), "10.1.0.8 10.1.0.9")


def test_what_is_typed_is_literal() -> None:
    """As long as no output has shown it before."""
    values = Values()
    assert values.typed("ovnhook subnet create blue 10.1.0.0/24") == "ovnhook subnet create blue 10.1.0.0/24"
    assert not values.fit(("cidr 10.1.0.0/24",), "cidr 10.2.0.0/24")
    assert values.fit(("cidr 10.1.0.0/24",), "cidr 10.1.0.0/24")


def test_an_output_that_does_not_fit_leaves_no_value() -> None:
    """The next look at it may show another one."""
    values = Values()
    assert not values.fit(("10.1.0.57", "up"), "10.1.0.8\ndown")
    assert values.fit(("10.1.0.57", "up"), "10.1.0.9\nup")


@pytest.mark.parametrize(
    ("expected", "actual", "fits"),
    [
        (("…",), "", True),
        (("a", "…"), "a\nb\nc", True),
        (("a", "…", "d"), "a\nb\nc", False),
        (("time=… ms",), "time=0.8 ms", True),
        (("time=… ms",), "time=0.8 s", False),
        (("(1+1)*",), "(1+1)*", True),
        ((), "unexpected", False),
        (("52:54:00:aa:bb:01",), "52:54:00:12:34:56", True),
        (("52:54:00:aa:bb:01",), "10.1.0.8", False),
        (("0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f",), "ffffffff-4a5c-5d5e-9d7b-1f0f1c2d3e4f", True),
    ],
)
def test_what_fits(expected: tuple[str, ...], actual: str, fits: bool) -> None:
    """Ellipses are anything, values are of their kind, and all else is as it is written."""
    assert Values().fit(expected, actual) is fits
