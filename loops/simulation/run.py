"""One simulated run: its books in memory, and what reaches it, decided as the evaluator decides it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from activities.interruptions import find_interruption
from activities.links import EXAMPLE_LINKS
from activities.messages import make_context
from activities.versions import Version
from activities.waiting import satisfied
from loops.simulation.clock import RunClock
from loops.simulation.happening import Happening
from loops.simulation.subject import Subject
from loops.simulation.work import Place, Work
from rules.assignment import arms
from rules.instants import earliest
from rules.reference import explain
from rules.waits import end_of_wait
from schemas.nesting import arms_of
from schemas.plan import Act, CompiledPlaybook, Elapsed, Split, Wait, WaitFor
from schemas.policy import Policy
from schemas.run import InboxEntry, Interruption, RunEnd, RunInput, StepCall
from schemas.sent import Sent
from schemas.step_type import StepTypes
from store.message_history import NO_TALK
from store.runs import NAMESPACE, Run
from store.waits import OpenWait

Line = dict[str, Any]

# What stands still for good may be looked at again and again by the day; so often is enough to say so.
_LOOKS = 5000
# What the workflow tells of itself where no activity is asked.
_TOLD_BY_WORKFLOW = ("experiment", "stop", "pause", "resume")


@dataclass(frozen=True)
class Setting:
    """What all runs of a simulation share: the policy, the playbooks that may be started, and the step types."""

    policy: Policy
    playbooks: Mapping[str, CompiledPlaybook]
    step_types: StepTypes


@dataclass
class SimulatedRun:
    """Everything about one run of one customer; `lines` is what it did, to be put in order of time."""

    id: str
    playbook: CompiledPlaybook
    customer: Subject
    setting: Setting
    start: datetime
    version: Version
    digest: str
    sends: list[Sent | tuple[str, datetime]] = field(default_factory=list)
    arms: Mapping[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    waits: dict[Place, OpenWait] = field(default_factory=dict)
    # Waits for a date: since when, and until when as it stands.
    dates: dict[Place, tuple[datetime, datetime]] = field(default_factory=dict)
    # Where the run stands until, as it was told last.
    ends: dict[Place, datetime] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    held: dict[Place, Line] = field(default_factory=dict)
    # When somebody talked to the customer on the phone.
    talks: list[datetime] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    inbox: list[InboxEntry] = field(default_factory=list)
    interruption: Interruption | None = None
    end: RunEnd | None = None

    def __post_init__(self) -> None:
        self.clock = RunClock(self.start)
        goal = self.playbook.goal
        self.goal_by = self.start + timedelta(seconds=goal.within_seconds) if goal else None
        self.variants = {**arms(self.playbook.steps, self.customer.given.customer), **self.arms}
        self._deed: Happening | None = None
        self._arms = arms_of(self.playbook.steps)
        self._row = Run(
            id=self.id, playbook=self.playbook.name, version=self.digest, customer_id=self.id, key="",
            run_group=None, arm="treated", state="running", trigger={}, variants=self.variants,
            health_at_entry=None, churn_at_entry=None, entered_at=self.start, goal_by=self.goal_by,
            workflow_id=self.id, execution_id=None, start_attempts=0, step=None, paused=False, interruption=None,
            outcome=None, reason=None, ended_at=None,
        )  # fmt: skip

    @property
    def input(self) -> RunInput:
        """What the workflow is started with."""
        return RunInput(
            run_id=self.id, playbook=self.playbook.name, version=self.digest, customer_id=self.id,
            steps=self.playbook.steps, variants=self.variants, entered_at=self.start, goal_by=self.goal_by,
            max_overdue_seconds=self.playbook.max_overdue_seconds, clock="played",
        )  # fmt: skip

    @property
    def over(self) -> bool:
        """Whether nothing will come of this run any more."""
        return self.end is not None and self.clock.ended

    # What reaches the run.

    def look(self, until: datetime | None) -> Happening | bool:
        """Go on to the next moment, not after `until`, at which something reaches the run.

        True: its bell is to be rung; a Happening: a person does this. False: nothing until then. The clock then stands
        at that moment.
        """
        now = self.clock.now
        for _ in range(_LOOKS):
            deed, self._deed = self._deed, None
            if deed is None:
                moment = earliest([self.customer.next_at, self._changes_at(now)])
                if moment is None or (until is not None and moment > until):
                    return False
                now = max(now, moment)
                deed = self.customer.advance(now)
                if self.evaluate(now):
                    # What happened before it at the same instant comes first.
                    self._deed, self.clock.now = deed, now
                    return True
            if deed is not None and deed.do != "complete":
                self.clock.now = now
                return deed
            if deed is not None and self._complete(deed):
                self.clock.now = now
                return True
        return False

    def evaluate(self, now: datetime) -> bool:
        """Mark goal and exit, and hand waits what they wait for; whether the bell is to be rung."""
        if self.interruption is not None or self.end is not None:
            return False
        facts = self.customer.facts(now)
        found = self.find_interruption(now)
        if found is not None:
            self._post(found.kind, now, outcome=found.outcome, reason=found.reason)
            return True
        before = len(self.inbox)
        for place, wait in list(self.waits.items()):
            step = self.version.steps[place[0]]
            assert isinstance(step, WaitFor)
            if satisfied(step, wait, facts, self.version):
                del self.waits[place]
                self.tell(now, place, "wait_for", "then")
                self._post("event", now, place, outcome="then")
        for place, (since, until) in list(self.dates.items()):
            step = self.version.steps[place[0]]
            assert isinstance(step, Wait)
            if end_of_wait(step.spec, since, facts, self.setting.policy.default_zone) != until:
                del self.dates[place]
                self._post("moved", now, place, outcome="moved")
        return len(self.inbox) > before

    def find_interruption(self, now: datetime) -> Interruption | None:
        """What ends this run at `now`; marks it."""
        if self.interruption is None:
            self.interruption = find_interruption(self.version, self._row, self.customer.facts(now))
        return self.interruption

    def _changes_at(self, now: datetime) -> datetime | None:
        """When time alone may change what the run is interested in."""
        if self.interruption is not None:
            return None
        facts = self.customer.facts(now)
        steps = (self.version.steps[step] for step, _ in self.waits)
        conditions = [
            *self.version.watched,
            *(step.when for step in steps if isinstance(step, WaitFor) and step.when),
        ]
        return earliest(explain(condition, facts).changes_at for condition in conditions)

    def _complete(self, deed: Happening) -> bool:
        """A person says how the work went; a line says why where that can't be."""
        place = self.work.find_open(deed.step)
        if place is None:
            there = ", ".join(sorted({step for step, _ in self.work.still_open})) or "none"
            self.tell(deed.at, (deed.step or "run", 0), "complete", "refused", detail=f"open is {there}")
            return False
        task = self.work.tasks[place]
        if deed.outcome not in task.outcomes:
            known = ", ".join(task.outcomes)
            self.tell(deed.at, place, "complete", "refused", detail=f"{deed.outcome} is none of {known}")
            return False
        assert deed.outcome is not None
        task.outcome = deed.outcome
        if task.kind == "call" and deed.outcome not in NO_TALK:
            self.talks.append(deed.at)
        self.tell(deed.at, place, task.kind, deed.outcome, title=task.title)
        self._post("task", deed.at, place, outcome=deed.outcome)
        return True

    def _post(self, kind: Any, at: datetime, place: Place | None = None, **more: Any) -> None:
        step, occurrence = place or (None, 0)
        self.inbox.append(
            InboxEntry(seq=len(self.inbox) + 1, kind=kind, at=at, step=step, occurrence=occurrence, **more)
        )

    # What the run does.

    def tell(self, at: datetime, place: Place, kind: str, outcome: str, **more: Any) -> Line:
        """Add a line; what is None is left out of it."""
        self.hear_workflow()
        step, occurrence = place
        line: Line = {"at": at, "step": step, "kind": kind, "outcome": outcome}
        if occurrence:
            line["occurrence"] = occurrence
        if step in self._arms:
            line["variant"] = self._arms[step]
        line |= {key: value for key, value in more.items() if value is not None}
        self.lines.append(line)
        if step in self.version.steps:
            self.outputs.setdefault(step, {})["outcome"] = outcome
        return line

    def hear_workflow(self) -> None:
        """Add what the workflow told of itself since the last line, in its place."""
        for one in self.clock.hear():
            at = datetime.fromisoformat(one["at"])
            name, _, occurrence = one["step"].partition("#")
            place = (name, int(occurrence or 0))
            step = self.version.steps.get(name)
            if one["kind"] in _TOLD_BY_WORKFLOW:
                experiment = step.experiment if isinstance(step, Split) else None
                detail = None if step else one["detail"] or None
                self.tell(at, place, one["kind"], one["outcome"], experiment=experiment, detail=detail)
            elif isinstance(step, Wait) and isinstance(step.spec, Elapsed) and one["outcome"] == "waiting":
                until = at + timedelta(seconds=step.spec.seconds)
                self.tell(at, place, "wait", "waiting", until=until)

    def close(self, end: RunEnd, now: datetime) -> RunEnd:
        """End the run; open work is cancelled, and what was held is told as what it was: not sent."""
        if end.outcome in ("expired", "completed"):
            # At one instant events come before timers, though nobody rang for it yet.
            found = self.find_interruption(now)
            if found:
                end = RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
        self.hear_workflow()
        self.lines.extend(self.held.values())
        self.held.clear()
        for place, task in self.work.still_open.items():
            self.tell(now, place, task.kind, "cancelled", title=task.title)
        self.waits.clear()
        self.dates.clear()
        self.end = end
        return end

    def timeline(self) -> list[Line]:
        """All lines in order of time, the end last."""
        lines = sorted(self.lines, key=lambda line: line["at"])
        if self.end is None:
            # It stands still for good: paused, and nothing more will happen.
            return [
                *lines,
                {"at": self.clock.now, "run": "open", "outcome": "paused", "reason": "nobody resumes it"},
            ]
        end = self.end
        return [*lines, {"at": end.at, "run": "ended", "outcome": end.outcome, "reason": end.reason}]

    def act(self, call: StepCall) -> Act:
        """The act that `call` is about."""
        step = self.version.steps[call.step]
        assert isinstance(step, Act)
        return step

    def context(
        self, now: datetime, *, channel: str = "", topic: str | None = None, delivery: str | None = None
    ) -> Mapping[str, Any]:
        """What templates may use at `now`; a message's links depend on its channel, topic and delivery, too."""
        facts = self.customer.facts(now)
        # Not by the run's id, which says how many were played before.
        named = str(uuid.uuid5(NAMESPACE, facts.customer))
        links = EXAMPLE_LINKS.make(named, facts.profile, channel=channel, topic=topic, delivery=delivery)
        return make_context(self.playbook, self._row, facts, dict(self.outputs), links, reason="simulated")


def place_of(call: StepCall) -> Place:
    """The occurrence of a step that `call` is about."""
    return call.step, call.occurrence
