"""Who enters a playbook, who doesn't and why: the sentences of the language's section Entry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.assignment import held_out
from rules.entry import Candidate, OpenRun, decide_entries, decide_entry
from schemas.condition import AllOf
from schemas.plan import Act, Again, CompiledPlaybook, Enter, Goal, Split, Variant
from schemas.policy import Cap, Policy

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
DAY = 86_400
GOAL = Goal(within_seconds=7 * DAY)


def playbook(name: str = "rescue", *, enter: dict[str, Any] | None = None, **more: Any) -> CompiledPlaybook:
    steps = more.pop("steps", (Act(id="0", word="call", human=True),))
    status = more.pop("status", "live")
    return CompiledPlaybook(
        name=name,
        title=name,
        owner="ops",
        status=status,
        steps=steps,
        enter=Enter(when=AllOf(items=()), **(enter or {})),
        **more,
    )


def candidate(book: CompiledPlaybook | None = None, **more: Any) -> Candidate:
    return Candidate(
        **{"playbook": book or playbook(), "customer": "c1", "policy": Policy(), "condition": True, **more}
    )


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def reason(given: Candidate) -> str:
    return decide_entry(given, now=NOW).reason


def test_a_customer_for_whom_the_trigger_holds_enters() -> None:
    decision = decide_entry(candidate(), now=NOW)
    assert (decision.reason, decision.enters, decision.occupies) == ("entered", True, True)


@pytest.mark.parametrize("status", ["draft", "paused", "retired", "shadow"])
def test_only_a_live_playbook_admits(status: str) -> None:
    decision = decide_entry(candidate(playbook(status=status)), now=NOW)
    assert (decision.reason, decision.occupies) == (status, False)


def test_shadow_is_the_reason_only_where_a_live_one_would_have_admitted() -> None:
    assert reason(candidate(playbook(status="shadow"), condition=False)) == "condition"
    held = candidate(playbook(status="shadow", enter={"holdout_percent": 100}))
    assert decide_entry(held, now=NOW).detail == "would have been held out"


@pytest.mark.parametrize(("condition", "word"), [(False, "false"), (None, "unknown")])
def test_only_what_is_true_matches(condition: bool | None, word: str) -> None:
    decision = decide_entry(candidate(condition=condition), now=NOW)
    assert (decision.reason, decision.detail) == ("condition", f"enter.when is {word}")
    assert (
        decide_entry(candidate(condition=False, condition_detail="plan: free"), now=NOW).detail
        == "plan: free"
    )


def test_a_customer_whose_goal_holds_does_not_enter() -> None:
    assert reason(candidate(playbook(goal=GOAL), goal=True)) == "goal_met"
    assert reason(candidate(playbook(goal=GOAL), goal=None)) == "entered"


def test_one_active_run_per_playbook_and_key() -> None:
    assert reason(candidate(open_runs=[OpenRun("rescue")])) == "already_running"
    assert reason(candidate(open_runs=[OpenRun("other")])) == "entered"
    assert reason(candidate(open_runs=[OpenRun("rescue", "renewal-1")], key="renewal-1")) == "already_running"
    assert reason(candidate(open_runs=[OpenRun("rescue", "renewal-1")], key="renewal-2")) == "entered"


def test_one_active_run_per_group() -> None:
    grouped = playbook(group="retention")
    assert reason(candidate(grouped, open_runs=[OpenRun("other", None, "retention")])) == "group"
    assert reason(candidate(grouped, open_runs=[OpenRun("other", None, "onboarding")])) == "entered"
    assert reason(candidate(open_runs=[OpenRun("other")])) == "entered"


@pytest.mark.parametrize(
    ("again", "entries", "expected", "until"),
    [
        (Again(), [ago(6)], "again_rule", ago(-1)),
        (Again(), [ago(7)], "entered", None),
        (Again(), [ago(20), ago(2)], "again_rule", ago(-5)),
        (Again(kind="after", seconds=30 * DAY), [ago(29)], "again_rule", ago(-1)),
        (Again(kind="never"), [ago(999)], "again_rule", None),
        (Again(kind="never"), [], "entered", None),
        (Again(kind="always"), [ago(0)], "entered", None),
        (Again(kind="times", times=2, seconds=10 * DAY), [ago(3)], "entered", None),
        (Again(kind="times", times=2, seconds=10 * DAY), [ago(3), ago(8)], "again_rule", ago(-2)),
        (Again(kind="times", times=2, seconds=10 * DAY), [ago(1), ago(3), ago(8)], "again_rule", ago(-7)),
        (Again(kind="times", times=2, seconds=10 * DAY), [ago(3), ago(10)], "entered", None),
    ],
)
def test_again_counts_from_the_last_entry(
    again: Again, entries: list[datetime], expected: str, until: datetime | None
) -> None:
    decision = decide_entry(candidate(playbook(enter={"again": again}), entries=entries), now=NOW)
    assert (decision.reason, decision.until) == (expected, until)


def test_started_by_hand_only_has_no_entry_rules_but_one_run_at_a_time() -> None:
    by_hand = playbook().model_copy(update={"enter": None})
    assert reason(candidate(by_hand, entries=[ago(0)])) == "entered"
    assert reason(candidate(by_hand, open_runs=[OpenRun("rescue")])) == "already_running"


def test_the_policy_limits_entries_per_customer() -> None:
    policy = Policy(entries=Cap(times=2, seconds=7 * DAY))
    decision = decide_entry(candidate(policy=policy, recent_entries=[ago(1), ago(6)]), now=NOW)
    assert (decision.reason, decision.until) == ("entries", ago(-1))
    assert reason(candidate(policy=policy, recent_entries=[ago(1), ago(7)])) == "entered"


def message(word: str, **args: Any) -> Act:
    return Act(id=word, word=word, args=args)


@pytest.mark.parametrize(
    ("steps", "channels", "expected"),
    [
        ((message("email"),), {}, "no_consent"),
        ((message("email"),), {"email": False, "sms": True}, "no_consent"),
        ((message("email"),), {"email": True}, "entered"),
        ((message("email"), message("sms")), {"sms": True}, "entered"),
        ((message("email"), message("in_app")), {}, "entered"),
        ((message("email"), Act(id="c", word="call", human=True)), {}, "entered"),
        ((message("message", channels=["sms", "push"]),), {"email": True}, "no_consent"),
        ((message("message"),), {}, "entered"),
        ((message("webhook"),), {}, "entered"),
    ],
)
def test_no_consent_on_any_channel_of_the_playbook(
    steps: tuple[Act, ...], channels: dict[str, bool], expected: str
) -> None:
    assert reason(candidate(playbook(steps=steps), channels=channels)) == expected


def test_eligibility_is_decided_alike_for_every_arm() -> None:
    arms = {"mail": Variant(weight=1, steps=(message("email"),)), "control": Variant(weight=1)}
    split = playbook(steps=(Split(id="0", experiment="x", variants=arms),))
    reasons = {reason(candidate(split, customer=f"c{n}", channels={})) for n in range(20)}
    assert reasons == {"no_consent"}


def test_held_out_customers_take_the_playbook_but_no_admission_slot() -> None:
    book = playbook(enter={"holdout_percent": 100, "at_most_per_day": 1})
    decision = decide_entry(candidate(book, admitted_today=1), now=NOW)
    assert (decision.reason, decision.enters, decision.held_out, decision.occupies) == (
        "held_out",
        False,
        True,
        True,
    )


def test_the_policys_holdout_and_the_playbooks_are_drawn_apart() -> None:
    everyone = [f"c{n}" for n in range(400)]
    from_all = {
        c for c in everyone if reason(candidate(customer=c, policy=Policy(holdout_percent=30))) == "held_out"
    }
    book = playbook(enter={"holdout_percent": 30})
    from_one = {c for c in everyone if reason(candidate(book, customer=c)) == "held_out"}
    assert from_all == {c for c in everyone if held_out("global", 30, c)}
    assert from_one != from_all
    assert 60 < len(from_one) < 180


def test_the_entry_limit_waits_for_the_next_day_of_the_default_zone() -> None:
    book = playbook(enter={"at_most_per_day": 200})
    policy = Policy(default_zone="Europe/Berlin")
    assert reason(candidate(book, policy=policy, admitted_today=199)) == "entered"
    decision = decide_entry(candidate(book, policy=policy, admitted_today=200), now=NOW)
    assert (decision.reason, decision.until) == ("waiting", datetime(2026, 3, 10, 23, tzinfo=UTC))


def test_what_lies_deeper_is_named_first() -> None:
    burdened = candidate(
        playbook(
            status="paused", goal=GOAL, group="g", steps=(message("email"),), enter={"at_most_per_day": 0}
        ),
        condition=False,
        goal=True,
        open_runs=[OpenRun("rescue"), OpenRun("other", None, "g")],
        entries=[ago(1)],
        recent_entries=[ago(1)],
        policy=Policy(entries=Cap(times=1, seconds=7 * DAY)),
    )
    live = burdened.playbook.model_copy(update={"status": "live"})
    removals: list[dict[str, Any]] = [
        {"playbook": live},
        {"condition": True},
        {"goal": False},
        {"open_runs": [OpenRun("other", None, "g")]},
        {"entries": []},
        {"open_runs": []},
        {"recent_entries": []},
        {"channels": {"email": True}},
    ]
    reasons = [reason(burdened)]
    for removal in removals:
        burdened = replace(burdened, **removal)
        reasons.append(reason(burdened))
    assert reasons == [
        "paused", "condition", "goal_met", "already_running", "again_rule", "group", "entries", "no_consent",
        "waiting",
    ]  # fmt: skip


def test_higher_priority_wins_within_a_group_and_ties_go_by_name() -> None:
    low, high, tie = (
        playbook(name, group="retention", priority=priority)
        for name, priority in (("a", 10), ("z", 80), ("y", 80))
    )
    decisions = decide_entries([candidate(low), candidate(high), candidate(tie)], now=NOW)
    assert [decision.reason for decision in decisions] == ["group", "group", "entered"]


def test_one_that_does_not_enter_leaves_the_group_to_the_next() -> None:
    paused, other = playbook("a", group="g", priority=90, status="shadow"), playbook("b", group="g")
    assert [d.reason for d in decide_entries([candidate(paused), candidate(other)], now=NOW)] == [
        "shadow",
        "entered",
    ]
    held = playbook("a", group="g", priority=90, enter={"holdout_percent": 100})
    assert [d.reason for d in decide_entries([candidate(held), candidate(other)], now=NOW)] == [
        "held_out",
        "group",
    ]


def test_the_policys_entries_go_by_priority() -> None:
    policy = Policy(entries=Cap(times=2, seconds=7 * DAY))
    books = [playbook(f"p{priority}", priority=priority) for priority in (10, 90, 50)]
    given = [candidate(book, policy=policy, recent_entries=[ago(1)]) for book in books]
    assert [d.reason for d in decide_entries(given, now=NOW)] == ["entries", "entered", "entries"]


def test_keys_of_one_playbook_share_its_entry_limit() -> None:
    book = playbook(enter={"at_most_per_day": 1, "key": "renewal_id"})
    decisions = decide_entries([candidate(book, key="r2"), candidate(book, key="r1")], now=NOW)
    assert [decision.reason for decision in decisions] == ["waiting", "entered"]
    assert decide_entries([], now=NOW) == []


def shadow(**more: Any) -> CompiledPlaybook:
    return playbook(status="shadow", **more)


def test_a_shadow_starts_a_run_where_a_live_one_would_have_admitted_and_none_for_the_held_out() -> None:
    decision = decide_entry(candidate(shadow()), now=NOW)
    assert (decision.reason, decision.shadows, decision.occupies) == ("shadow", True, False)
    held = decide_entry(candidate(shadow(enter={"holdout_percent": 100})), now=NOW)
    assert (held.reason, held.shadows, held.detail) == ("shadow", False, "would have been held out")


def test_nobody_is_kept_out_by_a_shadow_but_its_own_playbooks_shadow() -> None:
    ghosts = [OpenRun("rescue", None, "g", shadow=True), OpenRun("other", None, "g", shadow=True)]
    assert reason(candidate(playbook(group="g"), open_runs=ghosts)) == "entered"
    assert reason(candidate(shadow(group="g"), open_runs=ghosts[1:])) == "shadow"
    assert reason(candidate(shadow(group="g"), open_runs=ghosts[:1])) == "already_running"
    assert reason(candidate(shadow(group="g"), open_runs=[OpenRun("other", None, "g")])) == "group"


def test_in_one_evaluation_a_shadow_takes_no_place_from_the_others() -> None:
    policy = Policy(entries=Cap(times=1, seconds=7 * DAY))
    first = playbook("a", group="g", priority=90, status="shadow")
    decisions = decide_entries(
        [candidate(first, policy=policy), candidate(playbook("b", group="g"), policy=policy)], now=NOW
    )
    assert [decision.reason for decision in decisions] == ["shadow", "entered"]


def test_a_shadow_waits_for_its_own_places() -> None:
    book = shadow(enter={"at_most_per_day": 1, "key": "renewal_id"})
    decisions = decide_entries([candidate(book, key="r2"), candidate(book, key="r1")], now=NOW)
    assert [decision.reason for decision in decisions] == ["waiting", "shadow"]


def test_who_lacks_the_key_doesnt_enter() -> None:
    book = playbook(enter={"key": "renewal_id"})
    decision = decide_entry(candidate(book), now=NOW)
    assert (decision.reason, decision.detail) == ("condition", "enter.key: renewal_id is missing")
    assert reason(candidate(book, key="r1")) == "entered"
