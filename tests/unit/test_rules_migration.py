"""What happens to a run inside when its playbook is edited and says `on_change: migrate`."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rules.migration import Placement, Unplaced, place
from rules.progress import PASSED, Progress, next_step, standing_at
from schemas.condition import AllOf, Compare
from schemas.nesting import inner, walk
from schemas.plan import (
    Act,
    Branch,
    Case,
    Choose,
    Elapsed,
    EventMatch,
    Reaction,
    Repeat,
    Split,
    Step,
    Steps,
    Together,
    Variant,
    Wait,
    WaitFor,
)
from schemas.run import key_of

BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
WHEN = AllOf(items=(Compare(signal="health_score", op="lt", value=40, path="if"),))


def mail(name: str, **more: object) -> Act:
    return Act(id=name, word="email", activity="Delivery.send", **more)


def wait(name: str, seconds: int = 60) -> Wait:
    return Wait(id=name, spec=Elapsed(seconds=seconds))


def branch(name: str, *then: Step, otherwise: Steps = ()) -> Branch:
    return Branch(id=name, when=WHEN, then=then, otherwise=otherwise)


@dataclass
class Playing:
    """A run on paper: takes steps as the workflow does, and halts before each step that `halts` names."""

    done: dict[str, str] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    halts: Callable[[str], bool] = lambda key: False
    taken: list[str] = field(default_factory=list)

    def walk(self, steps: Steps, occurrence: int = 0) -> None:
        index = 0
        while index < len(steps):
            try:
                self.take(steps[index], occurrence)
            except Jump as jump:
                later = [i for i in range(index + 1, len(steps)) if steps[i].id == jump.step]
                if not later:
                    raise
                index = later[0]
            else:
                index += 1

    def take(self, step: Step, occurrence: int) -> None:
        if self.done.get(key_of(step.id, occurrence)) == PASSED:
            return
        match step:
            case Repeat():
                for number in range(step.at_most):
                    this = occurrence * step.at_most + number
                    self.walk(step.steps, this)
                    last = number + 1 == step.at_most
                    if step.until is not None and not last and self.decide(step, this) == "done":
                        break
            case Together():
                halted = False
                for way in step.branches:
                    try:
                        self.walk(way, occurrence)
                    except Halt:
                        halted = True
                if halted:
                    raise Halt
            case Branch() | WaitFor():
                taken = self.decide(step, occurrence) == "then"
                self.walk(step.then if taken else step.otherwise, occurrence)
            case Choose():
                outcome = self.decide(step, occurrence)
                self.walk(
                    step.otherwise if outcome == "else" else step.cases[int(outcome) - 1].steps, occurrence
                )
            case Split():
                outcome = self.decide(step, occurrence)
                self.walk(step.variants[outcome].steps if outcome in step.variants else (), occurrence)
            case _:
                reaction = (
                    step.outcomes.get(self.decide(step, occurrence)) if hasattr(step, "outcomes") else None
                )
                if reaction and reaction.do == "goto":
                    assert reaction.goto
                    raise Jump(reaction.goto)
                self.walk(reaction.steps if reaction else (), occurrence)

    def decide(self, step: Step, occurrence: int) -> str:
        key = key_of(step.id, occurrence)
        if key in self.done:
            return self.done[key]
        self.since.setdefault(key, BEGAN + timedelta(minutes=len(self.since)))
        if self.halts(key):
            raise Halt
        outcome = choose(step, zlib.crc32(key.encode()))
        if isinstance(step, Act | Wait):
            self.taken.append(key)
        self.done[key] = outcome
        return outcome


class Halt(Exception):  # noqa: N818 - no error
    """The run stands here."""


class Jump(Exception):  # noqa: N818 - no error
    """On at a later step."""

    def __init__(self, step: str) -> None:
        self.step = step


def choose(step: Step, number: int) -> str:
    """The outcome that a step comes to, whichever version it is in."""
    match step:
        case Repeat():
            return ("again", "again", "done")[number % 3]
        case Choose():
            return ("1", "else")[number % 2]
        case Split():
            return ("a", "b")[number % 2]
        case Branch() | WaitFor():
            return ("then", "else")[number % 2]
        case Wait():
            return "over"
    return ("sent", "capped")[number % 2]


# --- What the contract says, one by one -------------------------------------------------------------------------


def moved(old: Steps, new: Steps, at: str, *, finished: bool = False) -> tuple[str | None, Placement]:
    """Where a run goes on that stood at a step of `old`."""
    memory = standing_at(old, at, BEGAN, finished=finished)
    assert memory is not None
    placed = place(old, new, memory.done, memory.since)
    assert isinstance(placed, Placement), placed
    return next_step(new, Progress(placed.done, placed.since)), placed


def taken_after(new: Steps, placed: Placement) -> list[str]:
    run = Playing(dict(placed.done), dict(placed.since))
    run.walk(new)
    return run.taken


def test_a_wait_keeps_its_start_though_its_length_is_another() -> None:
    old, new = (mail("a"), wait("pause", 60), mail("b")), (mail("a"), wait("pause", 30), mail("b"))
    at, placed = moved(old, new, "pause")
    assert at == "pause"
    assert placed.since["pause"] == BEGAN


def test_steps_inserted_before_the_place_count_as_passed_and_those_after_it_are_to_do() -> None:
    old = (mail("a"), wait("pause"), mail("b"))
    new = (mail("new-1"), mail("a"), branch("new-2", mail("inside")), wait("pause"), mail("new-3"), mail("b"))
    at, placed = moved(old, new, "pause")
    assert at == "pause"
    assert taken_after(new, placed) == ["pause", "new-3", "b"]


def test_a_step_that_is_gone_means_its_next_surviving_sibling() -> None:
    old = (mail("a"), wait("pause"), mail("b"), mail("c"))
    at, placed = moved(old, (mail("a"), mail("instead"), mail("c"), mail("d")), "pause")
    assert at == "c"
    assert placed.since.keys() == {"a"}
    assert taken_after((mail("a"), mail("c"), mail("d")), placed) == ["c", "d"]


def test_where_no_sibling_is_left_the_run_goes_on_after_what_is_around_it() -> None:
    old = (branch("x", mail("a"), wait("pause")), mail("b"))
    at, placed = moved(old, (branch("x", mail("a")), mail("b")), "pause")
    assert at == "b"
    assert taken_after((branch("x", mail("a")), mail("b")), placed) == ["b"]


def test_where_the_enclosing_step_is_gone_the_run_finishes_the_old_version() -> None:
    old = (branch("x", mail("a"), wait("pause")), mail("b"))
    memory = standing_at(old, "pause", BEGAN)
    assert memory is not None
    for new in ((mail("b"),), (mail("a"), wait("pause"), mail("b")), (branch("y", *old[0].then), mail("b"))):
        placed = place(old, new, memory.done, memory.since)
        assert isinstance(placed, Unplaced)
        assert "x" in placed.reason


def test_what_is_done_is_not_repeated_where_steps_are_in_another_order() -> None:
    old = (mail("a"), mail("b"), wait("pause"), mail("c"))
    new = (mail("c"), wait("pause"), mail("b"), mail("a"), mail("d"))
    at, placed = moved(old, new, "pause")
    assert at == "pause"
    assert taken_after(new, placed) == ["pause", "d"]


def test_steps_appended_for_a_run_that_has_done_everything_are_to_do() -> None:
    old, new = (mail("a"), mail("b")), (mail("a"), mail("new"), mail("b"), wait("pause"), mail("c"))
    at, placed = moved(old, new, "b", finished=True)
    assert at == "pause"
    assert taken_after(new, placed) == ["pause", "c"]


def test_a_choice_whose_cases_are_numbered_anew_is_gone_on_with_where_its_steps_are() -> None:
    old = (Choose(id="x", cases=(Case(when=WHEN, steps=(mail("a"), wait("pause"), mail("b"))),)),)
    first = Case(when=WHEN, steps=(mail("other"),))
    new = (Choose(id="x", cases=(first, *old[0].cases)),)
    at, placed = moved(old, new, "pause")
    assert (at, placed.done["x"]) == ("pause", "2")
    assert taken_after(new, placed) == ["pause", "b"]


def test_an_arm_of_an_experiment_that_is_gone_leaves_the_run_in_the_old_version() -> None:
    def split(**arms: Steps) -> Steps:
        variants = {name: Variant(weight=50, steps=steps) for name, steps in arms.items()}
        return (Split(id="x", experiment="x", variants=variants),)

    old = split(a=(mail("m"), wait("pause")), b=())
    memory = standing_at(old, "pause", BEGAN)
    assert memory is not None
    assert isinstance(place(old, split(b=(), c=(wait("pause"),)), memory.done, memory.since), Unplaced)
    assert isinstance(
        place(old, split(a=(wait("pause"), mail("z")), c=()), memory.done, memory.since), Placement
    )


def test_what_followed_from_an_outcome_does_not_follow_again() -> None:
    goes = {"sent": Reaction(do="goto", goto="b"), "capped": Reaction(do="stop")}
    old = (mail("a"), wait("pause"), mail("b"))
    new = (mail("a", outcomes=goes | {"over": Reaction(do="stop")}), wait("pause"), mail("b"))
    done, since = {"a": "capped"}, {"a": BEGAN, "pause": BEGAN}
    placed = place(old, new, done, since)
    assert isinstance(placed, Placement)
    assert taken_after(new, placed) == ["pause", "b"]


def test_a_fallback_that_is_gone_is_over() -> None:
    def call(*fallback: Step) -> Act:
        return mail(
            "call", outcomes={"sent": Reaction(do="fallback" if fallback else "stop", steps=fallback)}
        )

    old = (call(mail("sorry"), wait("pause")), mail("b"))
    done, since = {"call": "sent", "sorry": "sent"}, {"call": BEGAN, "sorry": BEGAN, "pause": BEGAN}
    placed = place(old, (call(), mail("b")), done, since)
    assert isinstance(placed, Placement)
    assert taken_after((call(), mail("b")), placed) == ["b"]
    longer = (call(mail("sorry"), wait("pause"), mail("more")), mail("b"))
    placed = place(old, longer, done, since)
    assert isinstance(placed, Placement)
    assert taken_after(longer, placed) == ["pause", "more", "b"]


def test_rounds_are_counted_on() -> None:
    def rounds(at_most: int, *steps: Step, until: bool = False) -> Steps:
        return (Repeat(id="r", at_most=at_most, until=WHEN if until else None, steps=steps), mail("after"))

    old = rounds(3, mail("a"), wait("pause"))
    done = {"a": "sent", "pause": "over", "a#1": "sent"}
    since = dict.fromkeys(("a", "pause", "a#1", "pause#1"), BEGAN)
    new = rounds(4, mail("new-1"), mail("a"), wait("pause"), mail("new-2"), until=True)
    placed = place(old, new, done, since)
    assert isinstance(placed, Placement)
    run = Playing(dict(placed.done), dict(placed.since))
    run.walk(new)
    assert run.taken[:2] == ["pause#1", "new-2#1"]
    assert not {"new-1", "new-2", "a", "a#1", "new-1#1"} & set(run.taken)
    assert run.taken[-1] == "after"
    fewer = place(old, rounds(1, mail("a"), wait("pause")), done, since)
    assert isinstance(fewer, Placement)
    assert taken_after(rounds(1, mail("a"), wait("pause")), fewer) == ["after"]


def test_a_repeat_that_is_over_is_not_taken_up_again_for_more_rounds() -> None:
    old = (Repeat(id="r", at_most=2, steps=(mail("a"),)), wait("pause"))
    new = (Repeat(id="r", at_most=5, steps=(mail("a"), mail("b"))), wait("pause"))
    done, since = {"a": "sent", "a#1": "sent"}, {"a": BEGAN, "a#1": BEGAN, "pause": BEGAN}
    placed = place(old, new, done, since)
    assert isinstance(placed, Placement)
    assert taken_after(new, placed) == ["pause"]


def test_each_branch_that_goes_on_at_the_same_time_keeps_its_own_place() -> None:
    old = (Together(id="t", branches=((mail("a"), wait("x")), (mail("b"), wait("y"), mail("c")))), mail("d"))
    new = (
        Together(
            id="t", branches=((mail("b"), wait("y"), mail("n"), mail("c")), (mail("a"), mail("m"), wait("x")))
        ),
        mail("d"),
    )
    done = {"a": "sent", "b": "sent"}
    since = dict.fromkeys(("a", "b", "x", "y"), BEGAN)
    placed = place(old, new, done, since)
    assert isinstance(placed, Placement)
    assert sorted(taken_after(new, placed)) == ["c", "d", "n", "x", "y"]


def test_a_wait_for_that_waits_keeps_waiting_and_one_that_is_decided_is_gone_on_with() -> None:
    def waiting(*then: Step) -> WaitFor:
        return WaitFor(id="w", event=EventMatch(name="login"), for_seconds=60, then=then)

    old, new = (waiting(mail("a")), mail("b")), (waiting(mail("n"), mail("a")), mail("b"))
    at, placed = moved(old, new, "w")
    assert (at, placed.since) == ("w", {"w": BEGAN})
    at, placed = moved(old, new, "a")
    assert at == "a"
    assert taken_after(new, placed) == ["a", "b"]


# --- What holds for every plan, place and edit -------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> Steps:
    """A plan of every kind of step, each with a name of its own."""
    count = iter(range(10_000))

    def steps(depth: int, at_most: int = 4) -> Steps:
        return tuple(step(depth) for _ in range(draw(st.integers(0, at_most))))

    def step(depth: int) -> Step:
        name = f"s{next(count)}"
        kinds = ["act", "act", "wait"]
        if depth < 3:
            kinds += ["fallback", "if", "wait_for", "choose", "repeat", "together", "experiment"]
        match draw(st.sampled_from(kinds)):
            case "act":
                return mail(name)
            case "wait":
                return wait(name)
            case "fallback":
                return mail(name, outcomes={"capped": Reaction(do="fallback", steps=steps(depth + 1, 2))})
            case "if":
                return branch(name, *steps(depth + 1), otherwise=steps(depth + 1))
            case "wait_for":
                event = EventMatch(name="login")
                return WaitFor(
                    id=name, event=event, for_seconds=60, then=steps(depth + 1), otherwise=steps(depth + 1)
                )
            case "choose":
                cases = (Case(when=WHEN, steps=steps(depth + 1)),)
                return Choose(id=name, cases=cases, otherwise=steps(depth + 1))
            case "repeat":
                until = WHEN if draw(st.booleans()) else None
                return Repeat(
                    id=name, at_most=draw(st.integers(1, 3)), until=until, steps=steps(depth + 1, 3)
                )
            case "together":
                return Together(id=name, branches=tuple(steps(depth + 1, 3) for _ in range(2)))
        variants = {arm: Variant(weight=1, steps=steps(depth + 1)) for arm in ("a", "b")}
        return Split(id=name, experiment=name, variants=variants)

    return steps(0, 5)


def rewrite(steps: Steps, edit: Callable[[Steps], Steps]) -> Steps:
    """The plan with every list of it edited."""

    def within(step: Step) -> Step:
        outcomes = {
            name: reaction.model_copy(update={"steps": rewrite(reaction.steps, edit)})
            if reaction.steps
            else reaction
            for name, reaction in getattr(step, "outcomes", {}).items()
        }
        match step:
            case Act():
                return step.model_copy(update={"outcomes": outcomes})
            case Branch() | WaitFor():
                both = {"then": rewrite(step.then, edit), "otherwise": rewrite(step.otherwise, edit)}
                return step.model_copy(update=both)
            case Choose():
                cases = tuple(c.model_copy(update={"steps": rewrite(c.steps, edit)}) for c in step.cases)
                return step.model_copy(update={"cases": cases, "otherwise": rewrite(step.otherwise, edit)})
            case Repeat():
                return step.model_copy(update={"steps": rewrite(step.steps, edit)})
            case Together():
                return step.model_copy(update={"branches": tuple(rewrite(b, edit) for b in step.branches)})
            case Split():
                variants = {
                    name: v.model_copy(update={"steps": rewrite(v.steps, edit)})
                    for name, v in step.variants.items()
                }
                return step.model_copy(update={"variants": variants})
        return step

    return edit(tuple(within(step) for step in steps))


def stand(steps: Steps, random: Random) -> Playing:
    """A run that has come somewhere."""
    run = Playing(halts=lambda key: random.random() < 0.2)
    with contextlib.suppress(Halt):
        run.walk(steps)
    return run


def rest(steps: Steps, done: dict[str, str], since: dict[str, datetime]) -> list[str]:
    run = Playing(dict(done), dict(since))
    run.walk(steps)
    return run.taken


RANDOM = st.randoms(use_true_random=False)


@given(plans(), RANDOM)
def test_the_same_version_changes_nothing(steps: Steps, random: Random) -> None:
    run = stand(steps, random)
    assert place(steps, steps, run.done, run.since) == Placement(run.done, run.since)


@given(plans(), RANDOM)
def test_nothing_that_is_done_is_ever_repeated(steps: Steps, random: Random) -> None:
    run = stand(steps, random)
    fresh = iter(range(10_000))

    def edit(one: Steps) -> Steps:
        kept = [step for step in one if random.random() < 0.8]
        if random.random() < 0.5:
            random.shuffle(kept)
        for _ in range(random.randrange(3)):
            kept.insert(random.randrange(len(kept) + 1), mail(f"new{next(fresh)}"))
        return tuple(kept)

    new = rewrite(steps, edit)
    placed = place(steps, new, run.done, run.since)
    if isinstance(placed, Placement):
        assert not set(run.taken) & set(rest(new, dict(placed.done), dict(placed.since)))


@given(plans(), RANDOM)
def test_nothing_after_the_place_is_lost_and_nothing_new_before_it_is_taken(
    steps: Steps, random: Random
) -> None:
    run = stand(steps, random)
    expected = rest(steps, run.done, run.since)
    fresh = iter(range(10_000))

    def insert(one: Steps) -> Steps:
        longer = list(one)
        for _ in range(random.randrange(3)):
            longer.insert(random.randrange(len(longer) + 1), mail(f"new{next(fresh)}"))
        return tuple(longer)

    new = rewrite(steps, insert)
    placed = place(steps, new, run.done, run.since)
    assert isinstance(placed, Placement)
    taken = rest(new, dict(placed.done), dict(placed.since))
    assert [key for key in taken if not key.startswith("new")] == expected
    # A new step is taken only where one of the plan's own that stands before it isn't to be taken any more.
    for one in _lists(new):
        names = [step.id for step in one]
        for index, name in enumerate(names):
            if name.startswith("new") and name in taken:
                later = [other for other in names[index + 1 :] if not other.startswith("new")]
                assert not any(other in run.taken for other in later)


@given(plans(), RANDOM)
def test_steps_that_are_gone_are_left_out_and_nothing_else(steps: Steps, random: Random) -> None:
    run = stand(steps, random)
    expected = rest(steps, run.done, run.since)
    new = rewrite(steps, lambda one: tuple(step for step in one if random.random() < 0.8))
    placed = place(steps, new, run.done, run.since)
    if isinstance(placed, Unplaced):
        assert placed.reason
        return
    there = {step.id for step in walk(new)}
    wanted = [key for key in expected if key.partition("#")[0] in there]
    assert rest(new, dict(placed.done), dict(placed.since)) == wanted


@given(plans(), RANDOM)
def test_what_has_begun_keeps_its_beginning(steps: Steps, random: Random) -> None:
    run = stand(steps, random)
    new = rewrite(steps, lambda one: (mail(f"before-{one[0].id}"), *one) if one else one)
    placed = place(steps, new, run.done, run.since)
    assert isinstance(placed, Placement)
    assert {key: placed.since.get(key) for key in run.since} == run.since


def _lists(steps: Steps) -> list[Steps]:
    return [steps, *(found for step in steps for nested in inner(step) for found in _lists(nested))]
