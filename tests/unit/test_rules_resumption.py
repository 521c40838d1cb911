"""Which waits are over when a run is started anew from what is on record."""

from __future__ import annotations

from datetime import UTC, datetime

from rules.resumption import waits_behind
from schemas.condition import AllOf
from schemas.plan import Act, Branch, Elapsed, Repeat, Step, Together, Wait

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def wait(step: str) -> Wait:
    return Wait(id=step, spec=Elapsed(seconds=60))


def act(step: str) -> Act:
    return Act(id=step, word="email")


def behind(*steps: Step, done: tuple[str, ...] = (), rounds: tuple[tuple[str, int], ...] = ()) -> set[str]:
    recorded = {(step, 0): AT for step in done} | dict.fromkeys(rounds, AT)
    return set(waits_behind(tuple(steps), recorded))


def test_a_wait_is_over_when_a_later_step_is_on_record() -> None:
    assert behind(act("a"), wait("w"), act("b"), wait("v"), done=("a", "b")) == {"w"}


def test_the_wait_after_the_last_step_on_record_is_not_over() -> None:
    assert behind(act("a"), wait("w"), act("b"), done=("a",)) == set()


def test_waits_inside_a_branch_are_over_when_something_after_the_branch_is_on_record() -> None:
    branch = Branch(id="x", when=AllOf(items=()), then=(wait("w"),))
    assert behind(branch, act("b"), done=("x", "b")) == {"w"}
    assert behind(branch, act("b"), done=("x",)) == set()


def test_of_branches_that_go_on_together_none_comes_after_another() -> None:
    both = Together(id="t", branches=((wait("w"), act("a")), (wait("v"), act("b"))))
    assert behind(both, done=("b",)) == {"v"}
    assert behind(both, act("c"), done=("b", "c")) == {"w", "v"}


def test_each_round_has_its_own_wait() -> None:
    rounds = Repeat(id="r", at_most=3, steps=(wait("w"), act("a"), wait("v")))
    assert behind(rounds, rounds=(("a", 0),)) == {"w"}
    # The second round has begun: the first's last wait is over.
    assert behind(rounds, rounds=(("a", 0), ("a", 1))) == {"w", "v", "w#1"}
    assert behind(rounds, act("z"), rounds=(("a", 0), ("z", 0))) == {
        "w", "v", "w#1", "v#1", "w#2", "v#2",
    }  # fmt: skip


def test_rounds_inside_rounds_are_counted_through() -> None:
    inner = Repeat(id="i", at_most=2, steps=(act("a"), wait("w")))
    outer = Repeat(id="o", at_most=2, steps=(inner,))
    # a#3 is the second inner round of the second outer one: all the waits before it are over.
    assert behind(outer, rounds=(("a", 3),)) == {"w", "w#1", "w#2"}
