"""Choices, rounds and branches at the same time: what they compile to, where `goto` may lead, what is warned of."""

import pytest

from schemas.nesting import walk
from schemas.plan import Act, Branch, Choose, Reaction, Repeat, Stop, Together, Wait
from tests.unit.compiling import plan, problems, steps


def test_choose_keeps_its_ways_in_order_and_else_stands_beside_it() -> None:
    (choose,) = steps("""
- choose:
    - when: {plan: pro}
      steps: [{wait: 1d}]
    - when: {plan: business, health_score: "< 40"}
      steps: []
  else: [{stop: lost}]
""")
    assert isinstance(choose, Choose)
    assert choose.id == "steps[0]"
    assert [case.when.path for case in choose.cases] == [
        "steps[0].choose[0].when", "steps[0].choose[1].when",
    ]  # fmt: skip
    assert [len(case.when.items) for case in choose.cases] == [1, 2]
    assert choose.cases[0].steps[0].id == "steps[0].choose[0].steps[0]"
    assert choose.cases[1].steps == ()
    assert choose.otherwise == (Stop(id="steps[0].else[0]", outcome="lost"),)


def test_repeat_has_rounds_and_an_end() -> None:
    bounded, free = steps("""
- id: nudges
  repeat:
    at_most: 3
    until: {event: {name: login, within: 1d}}
    steps:
      - email: tips
      - wait: 2d
- repeat: {at_most: 100, steps: [{wait: 1d}]}
""")
    assert isinstance(bounded, Repeat)
    assert (bounded.id, bounded.at_most, len(bounded.steps)) == ("nudges", 3, 2)
    assert bounded.until is not None
    assert bounded.until.path == "steps[0].repeat.until"
    assert bounded.steps[0].id == "steps[0].repeat.steps[0]"
    assert (free.at_most, free.until) == (100, None)


def test_together_has_branches() -> None:
    (together,) = steps("""
- together:
    - steps: [{email: tips}, {wait: 1d}]
    - steps: [{id: other, wait: 2d}]
""")
    assert isinstance(together, Together)
    assert [[step.id for step in branch] for branch in together.branches] == [
        ["steps[0].together[0].steps[0]", "steps[0].together[0].steps[1]"], ["other"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "choose: [{when: {plan: pro}, steps: [{wait: 1d}]}]", "repeat: {at_most: 2, steps: [{wait: 1d}]}",
        "together: [{steps: [{wait: 1d}]}, {steps: [{wait: 2d}]}]",
        "experiment: x\n  variants: {a: {weight: 1, steps: []}}",
    ],
)  # fmt: skip
def test_an_if_beside_it_asks_first_and_goto_asks_it_too(body: str) -> None:
    first, guarded = steps(
        f"- email: tips\n  outcomes: {{failed: {{goto: late}}}}\n- id: late\n  if: {{plan: pro}}\n  {body}"
    )
    assert isinstance(guarded, Branch)
    assert (guarded.id, guarded.then[0].id, guarded.otherwise) == ("late.if", "late", ())
    assert first.outcomes["failed"] == Reaction(do="goto", goto="late.if")


def test_with_an_if_beside_it_else_is_that_of_the_choice() -> None:
    (branch,) = steps(
        "- if: {plan: pro}\n  choose: [{when: {health_score: '< 40'}, steps: []}]\n  else: [{wait: 1d}]"
    )
    assert branch.otherwise == ()
    assert [step.id for step in branch.then[0].otherwise] == ["steps[0].else[0]"]


def test_all_of_them_nest_and_are_found_by_walking() -> None:
    found = steps("""
- together:
    - steps:
        - repeat:
            at_most: 2
            steps:
              - choose: [{when: {plan: pro}, steps: [{id: deepest, wait: 1d}]}]
    - steps: [{email: tips, outcomes: {failed: {fallback: [{id: fallen, wait: 1d}]}}}]
""")
    assert [type(step).__name__ for step in walk(found)] == [
        "Together", "Repeat", "Choose", "Wait", "Act", "Wait",
    ]  # fmt: skip
    assert {"deepest", "fallen"} <= {step.id for step in walk(found)}


def test_goto_leads_out_of_a_round_and_a_way_but_never_out_of_a_branch() -> None:
    text = """steps:
  - repeat:
      at_most: 2
      steps:
        - wait: 1d
        - choose:
            - when: {{plan: pro}}
              steps: [{{email: tips, outcomes: {{failed: {{goto: {target}}}}}}}]
        - {{id: in-round, wait: 1d}}
  - {{id: after, wait: 1d}}
"""
    assert problems(text.format(target="in-round")) == []
    assert problems(text.format(target="after")) == []
    together = """steps:
  - together:
      - steps:
          - email: tips
            outcomes: {failed: {goto: after}}
      - steps: [{wait: 1d}]
  - {id: after, wait: 1d}
"""
    (problem,) = problems(together)
    assert (problem.code, problem.line, problem.path) == (
        "PB223", 9, "steps[0].together[0].steps[0].outcomes.failed.goto",
    )  # fmt: skip
    assert "other branches would go on without it" in problem.hint
    assert problems(together.replace("goto: after", "goto: side").replace(
        "      - steps: [{wait: 1d}]\n", "          - {id: side, wait: 1d}\n      - steps: [{wait: 1d}]\n"
    )) == []  # fmt: skip


def test_migrating_needs_ids_inside_them_too() -> None:
    text = """on_change: migrate
steps:
  - id: a
    together:
      - steps: [{id: b, wait: 1d}]
      - steps: [{wait: 1d}]
  - id: c
    repeat: {at_most: 2, steps: [{wait: 1d}]}
  - choose: [{when: {plan: pro}, steps: [{id: d, wait: 1d}]}]
"""
    assert [(p.code, p.path) for p in problems(text)] == [
        ("PB236", "steps[0].together[1].steps[0].id"), ("PB236", "steps[1].repeat.steps[0].id"),
        ("PB236", "steps[2].id"),
    ]  # fmt: skip


def codes(text: str) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in problems(text)]


WINDOW = "goal: {event: {name: login}, within: 7d}\nsteps:\n"


def test_a_late_step_is_found_by_the_quickest_way_through() -> None:
    choose = "  - choose: [{when: {plan: pro}, steps: [{wait: 9d}]}]\n"
    assert codes(WINDOW + choose + "  - email: tips\n") == []
    assert codes(WINDOW + choose + "    else: [{wait: 8d}]\n  - email: tips\n") == [("PB231", "steps[1]")]
    rounds = "  - repeat: {at_most: 3, steps: [{wait: 4d}]}\n"
    assert codes(WINDOW + rounds + "  - email: tips\n") == [("PB231", "steps[1]")]
    until = "  - repeat: {at_most: 3, until: {plan: pro}, steps: [{wait: 4d}]}\n"
    assert codes(WINDOW + until + "  - email: tips\n") == []
    together = "  - together: [{steps: [{wait: 1d}]}, {steps: [{wait: 8d}]}]\n"
    assert codes(WINDOW + together + "  - email: tips\n") == [("PB231", "steps[1]")]


def test_what_comes_after_steps_that_all_end_the_run_is_never_reached() -> None:
    tail = "  - email: tips\n"
    ways = "steps:\n  - choose: [{when: {plan: pro}, steps: [{stop: lost}]}]\n"
    assert codes(ways + tail) == []
    assert codes(ways + "    else: [{stop: success}]\n" + tail) == [("PB232", "steps[1]")]
    one_branch = "steps:\n  - together: [{steps: [{wait: 1d}]}, {steps: [{stop: lost}]}]\n"
    assert codes(one_branch + tail) == [("PB232", "steps[1]")]
    one_round = "steps:\n  - repeat: {at_most: 2, steps: [{wait: 1d}, {stop: lost}]}\n"
    assert codes(one_round + tail) == [("PB232", "steps[1]")]


def test_rounds_that_take_no_time_are_warned_of() -> None:
    bare = "steps:\n  - repeat: {at_most: 3, steps: [{email: tips}]}\n"
    assert codes(bare) == [("PB243", "steps[0].repeat")]
    assert all(problem.severity == "warning" for problem in problems(bare))
    assert codes(bare.replace("{email: tips}", "{email: tips}, {wait: 1d}")) == []
    assert codes(bare.replace("{email: tips}", "{call: {title: Hello}}")) == []
    assert codes(bare.replace("at_most: 3", "at_most: 1")) == []


def test_rounds_multiply_up_to_a_thousand() -> None:
    nested = "steps:\n  - repeat: {at_most: 100, steps: [{wait: 1d}, {repeat: {at_most: %d, steps: [{wait: 1d}]}}]}\n"
    assert codes(nested % 10) == []
    assert codes(nested % 11) == [("PB240", "steps[0].repeat.steps[1].repeat.at_most")]


def test_branches_inside_branches_add_up_to_a_hundred() -> None:
    def branches(count: int, inside: str) -> str:
        return f"together: [{', '.join([f'{{steps: [{{{inside}}}]}}'] * count)}]"

    assert codes(f"steps:\n  - {branches(5, branches(20, 'wait: 1d'))}\n") == []
    assert codes(f"steps:\n  - {branches(6, branches(17, 'wait: 1d'))}\n") == [("PB241", "steps[0].together")]


def test_a_playbook_has_at_most_a_thousand_steps_and_a_megabyte() -> None:
    assert codes("steps:\n" + "  - wait: 1d\n" * 1000) == []
    assert codes("steps:\n" + "  - wait: 1d\n" * 1001) == [("PB242", "steps")]
    text = f'steps:\n  - &big {{call: {{title: Hi, about: "{"x" * 20_000}"}}}}\n'
    assert codes(text + "  - *big\n" * 40) == []
    assert codes(text + "  - *big\n" * 60) == [("PB242", "steps")]


def test_experiments_inside_other_blocks_share_their_name_and_weights() -> None:
    arm = "{experiment: x, variants: {a: {weight: %d, steps: []}, b: {weight: 1, steps: []}}}"
    text = "steps:\n  - together: [{steps: [%s]}, {steps: [%s]}]\n"
    assert codes(text % (arm % 1, arm % 1)) == []
    assert codes(text % (arm % 1, arm % 2)) == [("PB234", "steps[0].together[1].steps[0].experiment")]


def test_a_word_of_the_language_makes_no_new_version_where_it_is_not_used() -> None:
    text = "send: {between: '09:00-18:00'}\nsteps:\n  - email: tips\n"
    best = text.replace("'}", "', best_time: true}")
    assert plan(text).version != plan(best).version
    assert plan(best.replace("true", "false")).version == plan(text).version


def test_best_time_of_a_step_stands_over_that_of_its_playbook() -> None:
    playbook = plan("""
send: {best_time: true, at_most_late: 12h}
steps:
  - email: tips
  - email: tips
    send: {best_time: false}
  - email: tips
    send: {between: "10:00-12:00"}
""")
    windows = [step.send for step in playbook.steps if isinstance(step, Act)]
    assert [window.best_time for window in windows if window] == [True, False, True]
    assert [window.at_most_late_seconds for window in windows if window] == [43200] * 3
    assert windows[2] is not None
    assert windows[2].between == (600, 720)


def test_a_wait_inside_a_round_keeps_its_form() -> None:
    (repeat,) = steps("- repeat: {at_most: 2, steps: [{wait: {before: renewal_date, by: 1d}}]}")
    (wait,) = repeat.steps
    assert isinstance(wait, Wait)
    assert wait.outcomes == {"no_date": Reaction(do="stop")}
