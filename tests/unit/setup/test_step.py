"""Steps of a set-up: carried out where they are needed, once."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import Unavailable
from ovnhook.setup.step import Step, apply_steps


class Light:
    """Something that is off, and can be switched on."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.is_on = False
        self.switched = 0

    def switch(self) -> None:
        self.switched += 1
        self.is_on = self.works

    def step(self, timeout: float = 0.0) -> Step:
        return Step("the light is on", lambda: self.is_on, self.switch, timeout, hint="the fuse")


def test_a_step_is_carried_out_once() -> None:
    light, said = Light(), list[str]()
    apply_steps([light.step()], said.append)
    apply_steps([light.step()], said.append)
    assert said == ["changed    the light is on", "unchanged  the light is on"]
    assert light.switched == 1


def test_what_does_not_become_so_is_told_and_ends_it() -> None:
    broken, after, said = Light(works=False), Light(), list[str]()
    with pytest.raises(Unavailable) as raised:
        apply_steps([broken.step(), after.step()], said.append)
    assert str(raised.value) == "timed out after 0 s: the light is on (the fuse)"
    assert (said, after.switched) == ([], 0)
    broken.works = True
    apply_steps([broken.step(), after.step()], said.append)
    assert said == ["changed    the light is on"] * 2


class Slow(Light):
    """A light whose switch answers too late."""

    def __init__(self, *, works: bool = True) -> None:
        super().__init__(works=works)
        self.looks = 0

    def switch(self) -> None:
        super().switch()
        raise Unavailable("the switch did not answer within 15 s")

    def look(self) -> bool:
        self.looks += 1
        if self.looks == 2:
            raise Unavailable("nobody can see it just now")
        return self.is_on


def test_who_answers_late_may_have_done_it() -> None:
    """It is waited for what is to be, and not for the answer."""
    slow, said = Slow(), list[str]()
    apply_steps([Step("the light is on", slow.look, slow.switch)], said.append)
    assert (said, slow.switched) == (["changed    the light is on"], 1)
    broken = Slow(works=False)
    with pytest.raises(Unavailable, match="the switch did not answer"):
        apply_steps([Step("the light is on", broken.look, broken.switch, timeout=0)], said.append)
