"""What a plan says of two versions of a playbook, and how much work it counts."""

from __future__ import annotations

from collections import Counter

from rules.differences import differences
from rules.textual import Written, diff
from rules.workload import count_work
from schemas.condition import AllOf, Compare
from schemas.plan import (
    Act,
    Again,
    Branch,
    CompiledPlaybook,
    Elapsed,
    Enter,
    EventMatch,
    Exit,
    Goal,
    Reaction,
    Repeat,
    Split,
    Step,
    Stop,
    Together,
    Variant,
    Wait,
    WaitFor,
)

DAY = 86_400


def below(level: int, path: str = "enter.when.health_score") -> AllOf:
    return AllOf(items=(Compare(signal="health_score", op="lt", value=level, path=path),))


def mail(name: str, **more: object) -> Act:
    more.setdefault("args", {"template": "tips"})
    return Act(id=name, word="email", activity="Delivery.send", **more)


def wait(name: str, days: int = 2) -> Wait:
    return Wait(id=name, spec=Elapsed(seconds=days * DAY))


def playbook(*steps: Step, **more: object) -> CompiledPlaybook:
    more.setdefault("enter", Enter(when=below(40)))
    more.setdefault("status", "live")
    return CompiledPlaybook(name="help", title="Help", owner="cs", steps=steps, **more)


def told(old: CompiledPlaybook, new: CompiledPlaybook) -> list[str]:
    return [f"{one.what}: {one.told}" for one in differences(old, new)]


def test_steps_that_are_gone_added_changed_or_moved_are_named() -> None:
    old = playbook(mail("a"), wait("rest"), mail("b"), mail("c", args={"subject": "C"}))
    new = playbook(
        mail("c", args={"subject": "C"}), mail("a", args={"template": "other"}), wait("rest"), mail("d")
    )
    assert told(old, new) == [
        "steps: a (email): template changed",
        "steps: c (email) stands elsewhere",
        "steps: b (email) is gone",
        "steps: d (email) is added",
    ]


def test_steps_without_names_of_their_own_are_told_by_what_they_do() -> None:
    old = playbook(mail("steps[0]"), wait("steps[1]"))
    new = playbook(mail("steps[0]", args={"subject": "New"}), mail("steps[1]"), wait("steps[2]"))
    assert told(old, new) == ["steps: steps[0] (email) is added"]


def test_conditions_goals_exits_and_outcomes_are_told() -> None:
    old = playbook(mail("a"), goal=Goal(name="back", when=below(60), within_seconds=7 * DAY))
    goal = Goal(name="back", when=below(60), within_seconds=9 * DAY)
    stops = {"capped": Reaction(do="stop")}
    new = playbook(
        mail("a", outcomes=stops),
        enter=Enter(when=below(50)),
        goal=goal,
        exits=(Exit(event=EventMatch(name="bye")),),
    )
    assert told(old, new) == [
        "trigger: gone: health_score: < 40",
        "trigger: added: health_score: < 50",
        "goal: gone: back: health_score: < 60 within 7d",
        "goal: added: back: health_score: < 60 within 9d",
        "exits: added: event bye counts as stopped",
        "steps: a (email): after capped stop",
    ]


def test_limits_status_and_templates_are_told() -> None:
    old = playbook(mail("a"), templates={"tips": {"email": {"subject": "Tips", "text": "Old"}}})
    enter = Enter(when=below(40), again=Again(kind="never"), at_most_per_day=20, holdout_percent=10)
    new = playbook(
        mail("a"), enter=enter, status="paused", priority=80,
        templates={"tips": {"email": {"subject": "Tips", "text": "New"}}},
    )  # fmt: skip
    assert told(old, new) == [
        "status: live is now paused",
        "templates: tips: email.text changed",
        "limits: priority: 50 is now 80",
        "limits: again: after 7d is now never",
        "limits: at_most: any number is now 20 per day",
        "limits: holdout: 0% is now 10%",
    ]


def test_where_something_stands_in_the_file_and_the_order_of_arms_make_no_difference() -> None:
    def split(*arms: str, path: str) -> Split:
        steps = {arm: (Branch(id=f"if-{arm}", when=below(40, path), then=(mail(arm),)),) for arm in arms}
        variants = {arm: Variant(weight=1, steps=steps[arm]) for arm in arms}
        return Split(id="x", experiment="x", variants=variants)

    old, new = playbook(split("a", "b", path="steps[0]")), playbook(split("b", "a", path="steps[7]"))
    assert told(old, new) == []


def test_texts_are_compared_line_by_line_and_templates_after_them() -> None:
    old = playbook(mail("a"), templates={"tips": {"email": {"text": "Old\nsame"}}})
    new = playbook(mail("a"), templates={"tips": {"email": {"text": "New\nsame"}}})
    lines = diff(Written("1", "one\ntwo", old), Written("2", "one\nthree", new))
    assert [line for line in lines if line[:1] in "+-"] == [
        "--- help.yaml\t1", "+++ help.yaml\t2", "-two", "+three",
        "--- templates/tips.yaml email.text\t1", "+++ templates/tips.yaml email.text\t2", "-Old", "+New",
    ]  # fmt: skip
    assert diff(Written("1", "one", old), Written("1", "one", old)) == []


def test_work_is_the_most_that_a_run_may_come_to() -> None:
    call = Act(id="ring", word="call", activity="Tasks.assign", human=True, args={"assign": "csm"})
    sorry = {"overdue": Reaction(do="fallback", steps=(mail("sorry"),))}
    either = Branch(id="if", when=below(40), then=(mail("x"), mail("y")), otherwise=(call,))
    work = count_work(
        (mail("a"), call.model_copy(update={"outcomes": sorry}), either, wait("rest"), mail("b")), {}
    )
    assert work.whole == Counter(email=5, call=2)
    assert work.first_day == Counter(email=4, call=2)
    assert work.assigned == Counter(csm=2)


def test_work_of_an_experiment_is_that_of_the_arm_and_nothing_comes_after_the_end() -> None:
    arms = {
        "a": Variant(weight=1, steps=(mail("a"), Stop(id="end"))),
        "b": Variant(weight=1, steps=(mail("b"),)),
    }
    steps = (Split(id="x", experiment="x", variants=arms), mail("after"))
    assert count_work(steps, {"x": "a"}).whole == Counter(email=1)
    assert count_work(steps, {"x": "b"}).whole == Counter(email=2)


def test_rounds_and_branches_at_the_same_time_add_up_and_time_passes_in_them() -> None:
    rounds = Repeat(id="r", at_most=3, steps=(mail("a"), wait("rest", 1)))
    both = Together(id="t", branches=((mail("b"),), (wait("long", 3), mail("c"))))
    work = count_work((both, mail("d")), {})
    assert (work.whole["email"], work.first_day["email"]) == (3, 1)
    work = count_work((rounds,), {})
    assert (work.whole["email"], work.first_day["email"]) == (3, 1)


def test_what_is_waited_for_may_come_at_once_and_the_rest_comes_when_it_does_not() -> None:
    waits = WaitFor(
        id="w",
        event=EventMatch(name="login"),
        for_seconds=3 * DAY,
        then=(mail("a"),),
        otherwise=(mail("b"), mail("c")),
    )
    work = count_work((waits, mail("d")), {})
    assert (work.whole["email"], work.first_day["email"]) == (3, 2)
