"""The language's section Steps, played: what each step does, its guard, and what follows its outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rules.assignment import arms
from tests.integration.simulated import Theatre, on, open_theatre, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTE = "in_app: {title: A, text: b}"
AFTER = f"  - {{id: after, {NOTE}}}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre() -> AsyncIterator[Theatre]:
    async with open_theatre() as theatre:
        yield theatre


def note(name: str) -> str:
    return f"{{id: {name}, {NOTE}}}"


# Guards


@pytest.mark.parametrize(
    "step",
    [
        "email: tips", "message: {template: tips, channels: [email]}", NOTE, "call: {title: Ring}", "wait: 3d",
        "wait: {until: friday}", "wait: {before: renewal_date}", "wait_for: {event: {name: login}, for: 3d}",
        "reward: {feature: premium, for: 7d}", "set: {tag: vip}", "stop: lost", "webhook: {url: 'https://example.com'}",
        "start: other", f"repeat: {{at_most: 2, steps: [{note('inside')}]}}",
        f"together: [{{steps: [{note('one')}]}}, {{steps: [{note('two')}]}}]",
        f"choose: [{{when: {{plan: {{is: missing}}}}, steps: [{note('inside')}]}}]",
        f"experiment: x\n    variants: {{a: {{weight: 1, steps: [{note('inside')}]}}}}",
    ],
)  # fmt: skip
async def test_every_step_may_carry_an_if_and_unknown_is_not_true(theatre: Theatre, step: str) -> None:
    for guard in ("{plan: pro}", "{team_size: '> 3'}"):
        told = await theatre.play(
            f"steps:\n  - if: {guard}\n    {step}\n{AFTER}",
            signals={"plan": "free"} if "plan" in guard else {},
        )
        done = [line for line in told.of() if line[2] not in ("skipped", "else")]
        assert (done, told.end) == ([("0m", "after", "sent")], ("0m", "completed")), told.of()


async def test_an_if_is_asked_when_its_step_is_due_and_not_before(theatre: Theatre) -> None:
    text = f"steps:\n  - wait: 2d\n  - if: {{plan: pro}}\n    id: for-pros\n    {NOTE}\n"
    pro = on("1d", signals={"plan": "pro"})
    assert (await theatre.play(text, pro, signals={"plan": "free"})).sent == [("2d", "for-pros")]
    assert (await theatre.play(text, signals={"plan": "free"})).sent == []


# Branches

WAYS = f"""
steps:
  - choose:
      - when: {{team_size: "> 3"}}
        steps: [{note("big")}]
      - when: {{plan: pro}}
        steps: [{note("pro")}]
      - when: {{plan: pro, influencer: true}}
        steps: [{note("famous")}]
    else: [{note("others")}]
"""


@pytest.mark.parametrize(
    ("signals", "taken"),
    [
        ({"team_size": 9, "plan": "pro"}, "big"),
        # The first is unknown, which is not true.
        ({"plan": "pro", "influencer": True}, "pro"),
        ({"team_size": 1, "plan": "free"}, "others"),
        ({}, "others"),
    ],
)
async def test_of_several_ways_the_first_that_is_true_is_taken(
    theatre: Theatre, signals: dict[str, Any], taken: str
) -> None:
    assert (await theatre.play(WAYS, signals=signals)).sent == [("0m", taken)]


async def test_without_else_a_choice_of_which_nothing_is_true_goes_on(theatre: Theatre) -> None:
    text = WAYS.replace(f"    else: [{note('others')}]\n", AFTER)
    assert (await theatre.play(text)).sent == [("0m", "after")]


@pytest.mark.parametrize(
    ("signals", "taken"), [({"plan": "pro"}, "paid"), ({"plan": "free"}, "other"), ({}, "other")]
)
async def test_if_goes_one_way_when_it_is_true_and_the_other_when_it_is_not(
    theatre: Theatre, signals: dict[str, Any], taken: str
) -> None:
    text = f"steps:\n  - if: {{plan: pro}}\n    then: [{note('paid')}]\n    else: [{note('other')}]\n"
    assert (await theatre.play(text, signals=signals)).sent == [("0m", taken)]


# Waiting for something

WAIT_FOR = f"""
steps:
  - id: await
    wait_for: {{%s, for: 3d}}
    then: [{note("came")}]
    else: [{note("gone")}]
"""
LOGIN, PRO = WAIT_FOR % "event: {name: login}", WAIT_FOR % "when: {plan: pro}"


async def test_a_condition_that_already_holds_ends_it_at_once(theatre: Theatre) -> None:
    assert (await theatre.play(PRO, signals={"plan": "pro"})).sent == [("0m", "came")]


@pytest.mark.parametrize(
    ("after", "sent"),
    [("2d", ("2d", "came")), ("3d", ("3d", "came")), ("3d1s", ("3d", "gone")), ("-1s", ("3d", "gone"))],
)
async def test_only_events_after_the_step_began_and_within_its_time_count(
    theatre: Theatre, after: str, sent: tuple[str, str]
) -> None:
    assert (await theatre.play(LOGIN, on(after, name="login"))).sent == [sent]


async def test_events_between_entry_and_the_step_dont_count(theatre: Theatre) -> None:
    text = LOGIN.replace("steps:\n", "steps:\n  - wait: 2d\n")
    assert (await theatre.play(text, on("1d", name="login"))).sent == [("5d", "gone")]
    assert (await theatre.play(text, on("2d1s", name="login"))).sent == [("2d1s", "came")]


async def test_a_condition_that_begins_to_hold_ends_it_then(theatre: Theatre) -> None:
    assert (await theatre.play(PRO, on("1d", signals={"plan": "pro"}))).sent == [("1d", "came")]
    assert (await theatre.play(PRO)).sent == [("3d", "gone")]


async def test_only_an_event_whose_properties_fit_ends_it(theatre: Theatre) -> None:
    text = WAIT_FOR % "event: {name: plan_changed, where: {to: annual}}"
    free, annual = ({"name": "plan_changed", "properties": {"to": to}} for to in ("free", "annual"))
    told = await theatre.play(text, on("1d", **free), on("2d", **annual))
    assert told.sent == [("2d", "came")]


# Rounds, branches at the same time, experiments


@pytest.mark.parametrize(
    ("happens", "rounds"),
    [
        ([], ["0m", "1d", "2d"]),
        ([on("12h", name="login")], ["0m"]),
        ([on("1d12h", name="login")], ["0m", "1d"]),
    ],
)
async def test_until_is_looked_at_after_each_round(
    theatre: Theatre, happens: list[dict[str, Any]], rounds: list[str]
) -> None:
    until = "until: {event: {name: login}}"
    text = f"steps:\n  - repeat: {{at_most: 3, {until}, steps: [{note('n')}, {{wait: 1d}}]}}\n"
    told = await theatre.play(text, *happens)
    assert told.sent == [(after, "n") for after in rounds]
    assert told.end[0] == f"{len(rounds)}d"


async def test_one_round_always_happens_and_unknown_means_one_more(theatre: Theatre) -> None:
    text = f"steps:\n  - repeat: {{at_most: 3, until: {{plan: pro}}, steps: [{note('n')}, {{wait: 1d}}]}}\n"
    assert len((await theatre.play(text, signals={"plan": "pro"})).sent) == 1
    assert len((await theatre.play(text)).sent) == 3


async def test_it_goes_on_when_all_branches_are_done(theatre: Theatre) -> None:
    text = f"steps:\n  - together: [{{steps: [{{wait: 3d}}]}}, {{steps: [{{wait: 1d}}, {note('early')}]}}]\n{AFTER}"
    assert (await theatre.play(text)).sent == [("1d", "early"), ("3d", "after")]


async def test_a_stop_in_one_branch_ends_the_whole_run(theatre: Theatre) -> None:
    text = (
        "steps:\n  - together:\n      - steps: [{wait: 2d}, {stop: lost}]\n"
        f"      - steps: [{{wait: 9d}}, {note('never')}]\n{AFTER}"
    )
    told = await theatre.play(text)
    assert (told.sent, told.end) == ([], ("2d", "lost"))


EXPERIMENT = f"""
  - experiment: tone
    variants:
      warm: {{weight: 3, steps: [{note("warm")}]}}
      control: {{weight: 1, steps: []}}
"""
SPLIT = f"steps:{EXPERIMENT}"


async def test_experiments_split_by_weight_hash_the_callers_id_and_control_may_be_empty(
    theatre: Theatre,
) -> None:
    seen = []
    for number in range(12):
        told = await theatre.play(SPLIT + AFTER, customer=f"c{number}")
        arm = arms(read(SPLIT).steps, f"c{number}")["tone"]
        assert told.sent == ([("0m", "warm")] if arm == "warm" else []) + [("0m", "after")]
        seen.append(arm)
    assert set(seen) == {"warm", "control"}


async def test_a_variant_is_kept_per_customer_and_experiment_whatever_else_the_playbook_says() -> None:
    mine = read(SPLIT).steps
    other = read(f"goal: {{event: {{name: login}}, within: 9d}}\nsteps:\n  - wait: 3d{EXPERIMENT}").steps
    twice = read(SPLIT + EXPERIMENT.replace("id: warm", "id: again")).steps
    for number in range(50):
        customer = f"c{number}"
        assert arms(other, customer) == arms(twice, customer) == arms(mine, customer)


async def test_weights_are_relative() -> None:
    hundredfold = read(SPLIT.replace("weight: 3", "weight: 300").replace("weight: 1,", "weight: 100,"))
    for number in range(50):
        assert arms(hundredfold.steps, f"c{number}") == arms(read(SPLIT).steps, f"c{number}")


@pytest.mark.parametrize("outcome", ["success", "stopped", "lost", "completed"])
async def test_stop_ends_this_run_with_its_outcome(theatre: Theatre, outcome: str) -> None:
    told = await theatre.play(f"steps:\n  - if: {{plan: {{is: missing}}}}\n    stop: {outcome}\n{AFTER}")
    assert (told.sent, told.end) == ([], ("0m", outcome))


# What steps leave behind


async def test_a_reward_is_taken_back_when_its_time_is_over_whatever_ended_the_run(theatre: Theatre) -> None:
    reward = "steps:\n  - {id: gift, reward: {feature: premium, for: 7d}}\n  - wait: 20d\n"
    exits = f"exit: [{{event: {{name: login}}}}]\ngoal: {{when: {{plan: pro}}, within: 30d}}\n{reward}"
    for happens in ([], [on("1d", name="login")], [on("1d", signals={"plan": "pro"})], [on("1d", do="stop")]):
        told = await theatre.play(exits, *happens)
        assert told.of("reward") == [("0m", "gift", "granted"), ("7d", "gift", "taken_back")]
