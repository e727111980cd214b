"""Transcripts of a how-to, typed on a machine as its reader types them: each output is as it is written there."""

from __future__ import annotations

from collections.abc import Mapping

from lab.waiting import until
from tests.cloud.transcript import Values, steps
from tests.machines.virtual_machine import LONG, VirtualMachine

CHECKOUT = "make packages"
"""Words of a page: the packages are built elsewhere, as a machine has no compiler."""

DISK = "--disk web1.qcow2"
"""Words of a page: a machine is too slow for a guest that boots from a disk."""


def follow(machine: VirtualMachine, page: str, instead: Mapping[str, str]) -> None:
    """Type all commands of a page, in order, and until the output is that of the page.

    Args:
        machine: that they are typed on.
        page: in Markdown, or a part of it.
        instead: the only words that are typed otherwise, and what is typed in their place.
    """
    values = Values()
    for step in steps(page):
        command = values.typed(step.command)
        for words, others in instead.items():
            command = command.replace(words, others)
        said = ""

        def fits() -> bool:
            nonlocal said
            said = machine.run(f"{command}\necho exit status $?", check=False)  # noqa: B023
            output, _, status = said.rpartition("exit status ")
            return status.strip() == "0" and values.fit(step.output, output)  # noqa: B023

        def shown() -> str:
            return "\n".join(["the page has:", *step.output, "but it is:", said, machine.journal()])  # noqa: B023

        if step.command.startswith("virt-install"):  # it can't be typed twice
            assert fits(), shown()
        else:
            until(fits, LONG, f"{machine.name}: the output of {command} to be that of the page", shown)
