"""`holdfast simulate`: the production workflow on a virtual clock, with its activities in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.registry import find_step_types
from loops.simulation.happening import Happening, parse_happening
from loops.simulation.run import Line
from loops.simulation.simulator import Case, Simulator
from loops.simulation.stage import Stage, set_stage
from rules.assignment import arms
from schemas.catalogue import load_catalogue
from schemas.facts import Facts
from schemas.facts_json import parse_facts
from schemas.policy import Policy
from tests.integration.commanding import command

START = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
CATALOGUE = load_catalogue()
POLICY = 'default_zone: Europe/Berlin\nquiet_hours: "21:00-08:00"\nconsent: {email: assumed}\n'
ANN = {
    "first_name": "Ann",
    "email": "ann@example.com",
    "phone": "+4915112345678",
    "timezone": "Europe/Berlin",
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(policy=Policy(), step_types=find_step_types()) as simulator:
        yield simulator


def stage(tmp_path: Path, steps: str, *, head: str = "", policy: str = POLICY, **more: str) -> Stage:
    (tmp_path / "p.yaml").write_text(
        f"playbook: p\ntitle: P\nowner: cs\nstatus: draft\n{head}\nsteps:\n{steps}"
    )
    (tmp_path / "policy.yaml").write_text(policy)
    for name, text in more.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return set_stage(tmp_path / "p.yaml", CATALOGUE)


def facts(now: datetime = START, customer: str = "c1", **given: Any) -> Facts:
    document = {
        "customer": customer,
        "now": now.isoformat(),
        "profile": ANN,
        "consent": {"sms": True},
        **given,
    }
    return parse_facts(document, CATALOGUE, now=now)


def at(after: timedelta, **what: Any) -> Happening:
    return parse_happening({"at": (START + after).isoformat(), **what})


async def play(
    simulator: Simulator, stage: Stage, happenings: Sequence[Happening] = (), given: Facts | None = None
) -> list[Line]:
    case = Case(stage.playbook, given or facts(), happenings, policy=stage.policy, playbooks=stage.others)
    [lines] = await simulator.play_many([case])
    return lines


def told(lines: Sequence[Line], *kinds: str) -> list[tuple[timedelta, str, str]]:
    """(after, step or run, outcome) of the lines of these kinds, or of all."""
    return [
        (line["at"] - START, line.get("step") or line["run"], line["outcome"])
        for line in lines
        if not kinds or line.get("kind") in kinds or line.get("run") in kinds
    ]


MAIL = "  - {id: mail, email: {subject: 'Hi {{ customer.first_name }}', text: Hello}}\n"


async def test_a_message_is_printed_as_the_customer_reads_it(simulator: Simulator, tmp_path: Path) -> None:
    html = "<p>{{ customer.first_name }}</p>"
    [mail, end] = await play(
        simulator, stage(tmp_path, f"  - {{id: mail, email: {{subject: Hi, html: '{html}'}}}}\n")
    )
    assert mail == {
        "at": START, "step": "mail", "kind": "email", "outcome": "sent", "channel": "email",
        "subject": "Hi", "text": "Ann\n", "html": "<p>Ann</p>",
    }  # fmt: skip
    assert end == {"at": START, "run": "ended", "outcome": "completed", "reason": "all steps are done"}


async def test_times_are_exact_however_busy_the_machine(simulator: Simulator, tmp_path: Path) -> None:
    """Ninety days of daily waits end at the very second, and a goal's window closes at its own."""
    steps = "  - repeat: {at_most: 90, steps: [{id: m, in_app: {title: A, text: b}}, {wait: 1d}]}\n"
    head = 'goal: {when: {health_score: ">= 80"}, within: 95d}'
    lines = await play(simulator, stage(tmp_path, steps, head=head))
    assert [at for at, _, _ in told(lines, "in_app")] == [day * DAY for day in range(90)]
    assert [line.get("occurrence", 0) for line in lines if line.get("kind") == "in_app"] == list(range(90))
    assert told(lines, "ended") == [(95 * DAY, "ended", "expired")]


async def test_a_goal_already_met_ends_it_at_once(simulator: Simulator, tmp_path: Path) -> None:
    head = 'goal: {name: better, when: {health_score: ">= 60"}, within: 9d}'
    made = stage(tmp_path, f"  - wait: 3d\n{MAIL}", head=head)
    lines = await play(simulator, made, given=facts(signals={"health_score": 70}))
    assert told(lines) == [(timedelta(0), "ended", "success")]
    assert lines[-1]["reason"] == "goal better"


async def test_goal_exit_and_stop_end_it_when_they_come(simulator: Simulator, tmp_path: Path) -> None:
    head = (
        'goal: {when: {health_score: ">= 60"}, within: 30d}\n'
        "exit: [{when: {subscription_status: cancelled}, outcome: lost}, {event: {name: export_requested}}]"
    )
    made = stage(tmp_path, f"{MAIL}  - wait: 20d\n{MAIL.replace('id: mail', 'id: last')}", head=head)
    when = timedelta(days=2, hours=1, seconds=7)
    for what, outcome in (
        ({"signals": {"health_score": 60}}, "success"),
        ({"signals": {"subscription_status": "cancelled"}}, "lost"),
        ({"name": "export_requested"}, "stopped"),
        ({"do": "stop", "outcome": "lost"}, "lost"),
        ({"signals": {"health_score": 60, "subscription_status": "cancelled"}}, "success"),
    ):
        lines = await play(simulator, made, [at(when, **what)])
        assert told(lines, "email", "ended") == [
            (timedelta(0), "mail", "sent"), (when, "ended", outcome),
        ], what  # fmt: skip


async def test_at_one_instant_what_happens_comes_before_timers(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - id: login
    wait_for: {event: {name: login}, for: 3d}
    then: [{id: yes, in_app: {title: A, text: b}}]
    else: [{id: no, in_app: {title: A, text: b}}]
  - wait: 2d
  - {id: after, in_app: {title: A, text: b}}
""".replace("yes", "came").replace("no,", "stayed,")
    made = stage(tmp_path, steps)
    lines = await play(simulator, made, [at(3 * DAY, name="login"), at(5 * DAY, do="stop")])
    assert told(lines, "in_app", "ended") == [
        (3 * DAY, "came", "sent"), (5 * DAY, "ended", "stopped"),
    ]  # fmt: skip
    late = await play(simulator, made, [at(3 * DAY + timedelta(seconds=1), name="login")])
    assert told(late, "in_app") == [(3 * DAY, "stayed", "sent"), (5 * DAY, "after", "sent")]


async def test_events_before_the_start_are_history(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - id: login
    wait_for: {event: {name: login}, for: 3d}
  - if: {event: {name: login, within: 30d}}
    then: [{id: seen, in_app: {title: A, text: b}}]
"""
    lines = await play(simulator, stage(tmp_path, steps), [at(-DAY, name="login")])
    assert told(lines, "wait_for", "in_app") == [
        (timedelta(0), "login", "waiting"), (3 * DAY, "login", "else"), (3 * DAY, "seen", "sent"),
    ]  # fmt: skip


async def test_time_alone_ends_a_wait_for_a_condition(simulator: Simulator, tmp_path: Path) -> None:
    steps = "  - id: away\n    wait_for: {when: {days_since_last_login: '>= 14'}, for: 30d}\n    then: [{stop: lost}]\n"
    made = stage(tmp_path, steps)
    given = facts(signals={"days_since_last_login": 9})
    assert told(await play(simulator, made, given=given), "ended") == [(5 * DAY, "ended", "lost")]
    back = await play(simulator, made, [at(2 * DAY, name="login")], given)
    assert told(back, "ended") == [(16 * DAY, "ended", "lost")]


async def test_nobody_answers_a_call(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - id: ring
    call: {title: "Ring {{ customer.first_name }}", due: 8h, escalate: {after: 24h, to: lead}, give_up: 2d}
    outcomes: {overdue: {fallback: [{id: sorry, in_app: {title: A, text: b}}]}}
"""
    policy = POLICY + 'working_hours: {days: weekdays, between: "09:00-17:00"}\n'
    lines = await play(simulator, stage(tmp_path, steps, policy=policy))
    # Eight hours on it is six in the evening in Berlin: due the next morning at nine.
    due = timedelta(hours=23)
    assert told(lines) == [
        (timedelta(0), "ring", "open"), (DAY, "ring", "escalated"), (due + 2 * DAY, "ring", "overdue"),
        (due + 2 * DAY, "sorry", "sent"), (due + 2 * DAY, "ended", "completed"),
    ]  # fmt: skip
    assert lines[0]["due_at"] == START + due
    assert (lines[1]["kind"], lines[1]["to"]) == ("escalation", "lead")


async def test_people_complete_calls_and_what_can_t_be_is_refused(
    simulator: Simulator, tmp_path: Path
) -> None:
    steps = "  - {id: ring, call: {title: Ring, due: 8h}}\n  - {id: note, in_app: {title: A, text: b}}\n"
    made = stage(tmp_path, steps)
    hour = timedelta(hours=1)
    reached = [
        at(hour, do="complete", step="note", outcome="reached"),
        at(2 * hour, do="complete", outcome="eaten"),
        at(3 * hour, do="resume"),
        at(4 * hour, do="complete", outcome="reached"),
    ]
    lines = await play(simulator, made, reached)
    assert told(lines) == [
        (timedelta(0), "ring", "open"), (hour, "note", "refused"), (2 * hour, "ring", "refused"),
        (3 * hour, "run", "refused"), (4 * hour, "ring", "reached"), (4 * hour, "note", "sent"),
        (4 * hour, "ended", "completed"),
    ]  # fmt: skip
    declined = await play(simulator, made, [at(hour, do="complete", outcome="declined")])
    assert told(declined, "call", "ended")[1:] == [(hour, "ring", "declined"), (hour, "ended", "stopped")]


async def test_a_pause_holds_and_what_was_overdue_for_long_is_passed_over(
    simulator: Simulator, tmp_path: Path
) -> None:
    made = stage(
        tmp_path,
        f"  - wait: 2d\n{MAIL}  - wait: 5d\n{MAIL.replace('id: mail', 'id: last')}",
        head="max_overdue: 1d",
    )
    short = await play(simulator, made, [at(DAY, do="pause"), at(2 * DAY + timedelta(hours=3), do="resume")])
    assert told(short, "email", "pause", "resume") == [
        (DAY, "run", "paused"), (2 * DAY + timedelta(hours=3), "run", "resumed"),
        (2 * DAY + timedelta(hours=3), "mail", "sent"), (7 * DAY + timedelta(hours=3), "last", "sent"),
    ]  # fmt: skip
    long = await play(simulator, made, [at(DAY, do="pause"), at(4 * DAY, do="resume")])
    assert told(long, "email") == [(4 * DAY, "mail", "skipped"), (9 * DAY, "last", "sent")]


async def test_a_pause_that_nobody_ends_stands_for_good(simulator: Simulator, tmp_path: Path) -> None:
    lines = await play(simulator, stage(tmp_path, f"  - wait: 2d\n{MAIL}"), [at(DAY, do="pause")])
    assert (lines[-1]["run"], lines[-1]["outcome"]) == ("open", "paused")
    assert told(lines, "email") == []


async def test_quiet_hours_hold_and_are_told_with_the_message(simulator: Simulator, tmp_path: Path) -> None:
    night = datetime(2026, 3, 2, 21, 30, tzinfo=UTC)
    lines = await play(simulator, stage(tmp_path, MAIL), given=facts(night))
    assert [(line["at"], line["outcome"]) for line in lines] == [
        (datetime(2026, 3, 3, 7, tzinfo=UTC), "sent"), (datetime(2026, 3, 3, 7, tzinfo=UTC), "completed"),
    ]  # fmt: skip
    assert (lines[0]["held"], lines[0]["held_since"]) == ("held_quiet_hours", night)
    stopped = Happening(night + timedelta(hours=1), do="stop")
    held = await play(simulator, stage(tmp_path, MAIL), [stopped], facts(night))
    assert [(line["at"], line["outcome"]) for line in held] == [
        (night, "held_quiet_hours"), (night + timedelta(hours=1), "stopped"), (night + timedelta(hours=1), "stopped"),
    ]  # fmt: skip
    assert (held[0]["channel"], held[0]["subject"]) == ("email", "Hi Ann")


async def test_caps_count_what_was_sent_and_what_was_said_before(
    simulator: Simulator, tmp_path: Path
) -> None:
    policy = POLICY + "caps: {email: 1 per 7d}\n"
    made = stage(tmp_path, MAIL + MAIL.replace("id: mail", "id: more"), policy=policy)
    assert told(await play(simulator, made), "email") == [
        (timedelta(0), "mail", "sent"), (timedelta(0), "more", "capped"),
    ]  # fmt: skip
    before = Case(made.playbook, facts(), policy=made.policy, sends=[("email", START - 6 * DAY)])
    [lines] = await simulator.play_many([before])
    assert told(lines, "email") == [(DAY, "mail", "sent"), (DAY, "more", "capped")]


@pytest.mark.parametrize(
    ("given", "happens", "outcome"),
    [
        ({"consent": {"email": False}}, [], "no_consent"),
        ({"suppressed": {"email": "hard_bounce"}}, [], "suppressed"),
        ({"profile": {}}, [], "unreachable"),
        ({}, [{"consent": {"email": False}}], "no_consent"),
        ({}, [{"suppressed": {"email": "complaint"}}], "suppressed"),
        ({"consent": {"email": False}}, [{"consent": {"email": True}}], "sent"),
    ],
)
async def test_a_message_that_isn_t_sent_is_printed_with_why(
    simulator: Simulator, tmp_path: Path, given: Any, happens: Any, outcome: str
) -> None:
    made = stage(tmp_path, "  - wait: 2d\n" + MAIL.replace("{{ customer.first_name }}", "you"))
    lines = await play(simulator, made, [at(DAY, **what) for what in happens], facts(**given))
    [mail] = [line for line in lines if line.get("kind") == "email"]
    assert (mail["outcome"], mail["channel"], mail["subject"]) == (outcome, "email", "Hi you")
    assert bool(mail.get("detail")) is (outcome != "sent")


async def test_what_can_t_be_rendered_fails_and_the_run_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - {id: mail, email: {subject: "Hi {{ signals.plan }}", text: Hello}}
  - {id: n, in_app: {title: A, text: b}}
"""
    lines = await play(simulator, stage(tmp_path, steps))
    assert told(lines, "email", "in_app") == [(timedelta(0), "mail", "failed"), (timedelta(0), "n", "sent")]
    assert "plan" in lines[0]["detail"]


async def test_a_message_takes_the_channel_that_reaches_the_customer(
    simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "nudge.yaml").write_text(
        "template: nudge\nsms: {text: Hi}\nin_app: {title: Hi, text: there}\nemail: {subject: Hi, text: there}\n"
    )
    made = stage(tmp_path, "  - {id: n, message: {template: nudge, channels: [sms, email, in_app]}}\n")
    [first, _] = await play(simulator, made)
    assert (first["kind"], first["channel"], first["text"]) == ("message", "sms", "Hi")
    [other, _] = await play(simulator, made, given=facts(consent={"sms": False}))
    assert (other["channel"], other["subject"]) == ("email", "Hi")


async def test_every_customer_gets_the_arm_that_the_live_system_gives(
    simulator: Simulator, tmp_path: Path
) -> None:
    steps = """
  - experiment: two
    variants:
      one: {weight: 50, steps: [{id: first, in_app: {title: A, text: b}}]}
      two: {weight: 50, steps: [{id: second, in_app: {title: A, text: b}}]}
  - {id: after, in_app: {title: A, text: b}}
"""
    made = stage(tmp_path, steps)
    customers = [f"customer-{number}" for number in range(20)]
    found = await simulator.play_many([Case(made.playbook, facts(customer=one)) for one in customers])
    seen = set()
    for customer, lines in zip(customers, found, strict=True):
        arm = arms(made.playbook.steps, customer)["two"]
        assert [(line["kind"], line["outcome"], line.get("variant")) for line in lines[:-1]] == [
            ("experiment", arm, None), ("in_app", "sent", arm), ("in_app", "sent", None),
        ]  # fmt: skip
        seen.add(arm)
    assert seen == {"one", "two"}


async def test_a_reward_is_taken_back_whatever_ended_the_run(simulator: Simulator, tmp_path: Path) -> None:
    steps = "  - {id: gift, reward: {feature: premium, for: 7d}}\n  - stop: success\n"
    lines = await play(simulator, stage(tmp_path, steps))
    assert told(lines) == [
        (timedelta(0), "gift", "granted"), (timedelta(0), "steps[1]", "success"),
        (7 * DAY, "gift", "taken_back"), (timedelta(0), "ended", "success"),
    ]  # fmt: skip


async def test_marks_are_seen_by_conditions(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - set: {tag: vip}
  - if: {tags: {contains: vip}}
    then:
      - {id: in-then, in_app: {title: A, text: b}}
  - set: {untag: vip}
  - if: {tags: {contains: vip}}
    then:
      - {id: never, in_app: {title: A, text: b}}
"""
    lines = await play(simulator, stage(tmp_path, steps))
    assert told(lines, "in_app") == [(timedelta(0), "in-then", "sent")]


async def test_what_would_leave_this_machine_is_rendered_and_stays(
    simulator: Simulator, tmp_path: Path
) -> None:
    steps = (
        '  - {id: hook, webhook: {url: "https://example.com/x", body: {name: "{{ customer.first_name }}"}}}\n'
    )
    [hook, end] = await play(simulator, stage(tmp_path, steps))
    assert (hook["kind"], hook["outcome"]) == ("webhook", find_step_types()["webhook"].outcomes[0])
    assert hook["args"]["body"] == {"name": "Ann"}
    assert end["outcome"] == "completed"


@pytest.mark.parametrize(
    ("score", "status", "entry"),
    [(30, "live", "entered"), (30, "paused", "paused"), (90, "live", "goal_met")],
)
async def test_another_playbook_is_asked_by_its_own_entry_rules(
    simulator: Simulator, tmp_path: Path, score: int, status: str, entry: str
) -> None:
    other = (
        f"playbook: other\ntitle: O\nowner: cs\nstatus: {status}\nenter: {{when: {{plan: pro}}}}\n"
        'goal: {when: {health_score: ">= 80"}, within: 9d}\nsteps: [{in_app: {title: A, text: b}}]\n'
    )
    made = stage(tmp_path, "  - {id: over, start: other}\n", other=other)
    [line, end] = await play(simulator, made, given=facts(signals={"health_score": score}))
    assert (line["outcome"], line["playbook"], line["entry"]) == ("asked", "other", entry)
    assert end["outcome"] == "completed"


async def test_a_wait_follows_its_date_and_the_customers_calendar(
    simulator: Simulator, tmp_path: Path
) -> None:
    steps = f"""
  - {{id: date, wait: {{before: renewal_date, by: 14d, at: "10:00"}}}}
{MAIL}  - {{id: days, wait: {{business_days: 1}}}}
  - {{id: n, in_app: {{title: A, text: b}}}}
"""
    made = stage(tmp_path, steps)
    given = facts(signals={"renewal_date": "2026-04-10", "country": "DE"})
    moved = [at(10 * DAY, signals={"renewal_date": "2026-04-16"})]
    lines = await play(simulator, made, moved, given)
    assert [line["until"] for line in lines if line.get("step") == "date"] == [
        datetime(2026, 3, 27, 9, tzinfo=UTC), datetime(2026, 4, 2, 8, tzinfo=UTC),
    ]  # fmt: skip
    # The next business day after Maundy Thursday is the Tuesday after Easter.
    assert [line["at"] for line in lines if line.get("kind") in ("email", "in_app")] == [
        datetime(2026, 4, 2, 8, tzinfo=UTC), datetime(2026, 4, 7, 8, tzinfo=UTC),
    ]  # fmt: skip
    none = await play(simulator, made)
    assert told(none) == [(timedelta(0), "date", "no_date"), (timedelta(0), "ended", "stopped")]


async def test_branches_go_on_together(simulator: Simulator, tmp_path: Path) -> None:
    steps = """
  - together:
      - steps: [{wait: 3d}, {id: slow, in_app: {title: A, text: b}}]
      - steps:
          - wait: 1d
          - {id: quick, in_app: {title: A, text: b}}
          - wait: 1d
          - {id: again, in_app: {title: A, text: b}}
  - choose:
      - {when: {plan: pro}, steps: [{id: pro, in_app: {title: A, text: b}}]}
      - {when: {plan: business}, steps: [{id: business, in_app: {title: A, text: b}}]}
"""
    lines = await play(simulator, stage(tmp_path, steps), [at(2 * DAY, signals={"plan": "business"})])
    assert told(lines, "in_app", "choose") == [
        (DAY, "quick", "sent"), (2 * DAY, "again", "sent"), (3 * DAY, "slow", "sent"),
        (3 * DAY, "steps[1]", "2"), (3 * DAY, "business", "sent"),
    ]  # fmt: skip


async def test_many_at_once_are_as_one_by_one(simulator: Simulator, tmp_path: Path) -> None:
    steps = (
        f"{MAIL}  - wait_for: {{event: {{name: login}}, for: 3d}}\n    else: [{{stop: lost}}]\n  - wait: 5d\n"
    )
    made = stage(tmp_path, steps)
    cases = []
    for number in range(30):
        start = START + number * DAY
        events = [Happening(start + DAY, "login")] if number % 2 else []
        cases.append(Case(made.playbook, facts(start, f"c{number}"), events, policy=made.policy))
    together = await simulator.play_many(cases)
    assert together[:4] == [(await simulator.play_many([case]))[0] for case in cases[:4]]
    for case, lines in zip(cases, together, strict=True):
        last = lines[-1]
        assert (last["at"] - case.facts.now, last["outcome"]) == (
            (6 * DAY, "completed") if case.happenings else (3 * DAY, "lost")
        )


def test_the_command_prints_lines_of_json(tmp_path: Path, checkout: Path) -> None:
    stage(tmp_path, f"  - wait: 2d\n{MAIL}", head="goal: {event: {name: login}, within: 30d}")
    (tmp_path / "facts.json").write_text(json.dumps({"customer": "c1", "profile": ANN, "now": "2026-01-01"}))
    (tmp_path / "events.jsonl").write_text('{"at": "2026-03-05T09:00:00Z", "name": "login"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "simulate", str(tmp_path / "p.yaml"),
         "--facts", str(tmp_path / "facts.json"), "--events", str(tmp_path / "events.jsonl"),
         "--start", "2026-03-02T09:00:00Z"],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["at"], line["outcome"]) for line in lines] == [
        ("2026-03-02T09:00:00Z", "waiting"),
        ("2026-03-04T09:00:00Z", "sent"),
        ("2026-03-05T09:00:00Z", "success"),
    ]
    assert lines[-1]["run"] == "ended"


def test_the_command_says_what_is_wrong_with_what_it_was_given(tmp_path: Path) -> None:
    stage(tmp_path, MAIL)
    good, bad = tmp_path / "facts.json", tmp_path / "bad.json"
    good.write_text('{"customer": "c1"}')
    bad.write_text('{"customer": "c1", "signls": {}}')
    events = tmp_path / "events.jsonl"
    events.write_text('{"at": "2026-03-05T09:00:00Z", "name": "login"}\n{"at": "2026-03-05T09:00:00Z"}\n')
    playbook = str(tmp_path / "p.yaml")
    for arguments, expected, told in (
        ([playbook, "--facts", str(bad)], 1, "Did you mean `signals`?"),
        ([playbook, "--facts", str(good), "--events", str(events)], 1, f"{events}:2: Nothing happens here"),
        ([playbook, "--facts", str(good), "--start", "soon"], 2, "is no time"),
        ([str(tmp_path / "plan.yaml"), "--facts", str(good)], 2, "There is no playbook"),
        ([playbook], 2, "--facts"),
    ):
        status, output, errors = command("simulate", *arguments)
        assert (status, output) == (expected, ""), arguments
        assert told in errors
    (tmp_path / "p.yaml").write_text("playbook: p\n")
    status, _, errors = command("simulate", playbook, "--facts", "-", stdin='{"customer": "c1"}')
    assert status == 1
    assert f"{playbook}:1:1: error PB103" in errors


async def test_a_run_that_goes_on_in_a_fresh_history_tells_everything_once(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = f"""
  - {{id: first, wait: 1d}}
  - {{id: date, wait: {{before: renewal_date}}}}
  - together:
      - steps: [{{id: date-too, wait: {{before: predicted_churn_date}}}}]
      - steps: [{{id: ring, call: {{title: Ring, due: 8h, escalate: {{after: 24h, to: lead}}}}}}]
      - steps: [{{id: login, wait_for: {{event: {{name: login}}, for: 9d}}}}]
{MAIL}"""
    made = stage(tmp_path, steps)
    given = facts(signals={"renewal_date": "2026-04-10", "predicted_churn_date": "2026-05-01"})
    moves = [at(day * DAY, signals={"renewal_date": f"2026-04-{10 + day}"}) for day in range(2, 9)]
    moves += [
        at(day * DAY, signals={"predicted_churn_date": f"2026-05-0{day - 45}"}) for day in range(47, 52)
    ]
    moves += [at(50 * DAY, do="complete", outcome="reached")]
    whole = await play(simulator, made, moves, given)
    monkeypatch.setattr("workflows.attention.CONTINUE_AFTER_SIGNALS", 3)
    assert await play(simulator, made, moves, given) == whole
    assert [line["step"] for line in whole[:9]] == ["first", *["date"] * 8]
    assert whole[-1]["outcome"] == "completed"


async def test_what_goes_wrong_inside_is_told_and_not_tried_for_ever(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("loops.simulation.desk.deliver", fail)
    with pytest.raises(ZeroDivisionError):
        await play(simulator, stage(tmp_path, MAIL))
