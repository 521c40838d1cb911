"""One customer before the door of one playbook: every look of the evaluator's, and what it decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from activities.facts import Known
from activities.interruptions import find_interruption
from activities.routing import open_channels
from activities.versions import Version
from loops.backtest.past_customer import PastCustomer
from loops.backtest.span import Span
from loops.simulation.happening import Happening
from loops.triggers import Trigger
from rules.entry import Candidate, OpenRun, decide_entries, key_of_run
from rules.instants import earliest
from rules.reference import explain
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store.kept_past import RecordedRun
from store.runs import Run

# A held-out customer without a goal's window is observed for so long.
OBSERVED = timedelta(days=30)


@dataclass(frozen=True)
class Door:
    """What all customers stand before: the playbook as if it were live, its trigger, and the policy."""

    playbook: CompiledPlaybook
    version: Version
    trigger: Trigger
    policy: Policy
    span: Span


@dataclass(frozen=True, order=True)
class Attempt:
    """A customer whom only the entry limit may yet keep out: at `at`, waiting `since`."""

    at: datetime
    since: datetime
    customer_id: str
    key: str = field(compare=False)


@dataclass
class PlayedRun:
    """An entry of the backtest; `ended_at` None: open at the end of the span."""

    key: str
    arm: str
    entered_at: datetime
    goal_by: datetime | None
    ended_at: datetime | None = None
    outcome: str = "open"


@dataclass
class Watcher:
    """Goes on from look to look until somebody would enter.

    `neighbours` are runs on record that count beside the played ones. `flags` are the moments at which the trigger
    began to hold, whatever became of it; `kept_out` counts by reason how often an entry was refused anew.
    """

    door: Door
    customer: PastCustomer
    neighbours: Sequence[RecordedRun]
    runs: list[PlayedRun] = field(default_factory=list)
    flags: list[datetime] = field(default_factory=list)
    kept_out: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    _due: datetime | None = None
    _holds: bool = False
    _standing: str = ""
    _waiting_since: datetime | None = None

    def go_on(self) -> Attempt | None:
        """The next attempt to enter; None: there is none in this span."""
        while True:
            moments = [moment for moment in (self.customer.next_at, self._due) if moment is not None]
            if not moments or min(moments) >= self.door.span.end:
                return None
            moment = min(moments)
            due = self._due is not None and self._due <= moment
            changed, daily = self.customer.pass_to(moment)
            if due:
                self._due = None
            if attempt := self._look(moment, changed, daily=daily, everything=due or daily):
                return attempt

    def enter(self, attempt: Attempt) -> PlayedRun:
        """The attempt succeeds."""
        run = self._open(attempt.key, "treated", attempt.at)
        self._standing, self._waiting_since = "entered", None
        return run

    def wait(self, attempt: Attempt, until: datetime) -> None:
        """The entry limit is reached: to be looked at again at `until`."""
        self._keep_out("waiting")
        self._waiting_since = self._waiting_since or attempt.at
        self._due = earliest([self._due, until])

    def undergo(self, effects: Sequence[Happening]) -> None:
        """What a played run did to the customer."""
        self.customer.undergo(effects)

    def _look(
        self, now: datetime, changed: frozenset[str], *, daily: bool, everything: bool
    ) -> Attempt | None:
        self.looks += 1
        known = self.customer.look(daily=daily)
        trigger = self.door.trigger
        dues: list[datetime | None] = [self._close_observed(known)]
        changed |= known.changed
        partly = bool(trigger.looks_at) and not everything and not trigger.looks_at & changed
        attempt = None
        if not partly:
            failing = trigger.first_failing(known.facts)
            if failing is not None:
                self._holds, self._standing, self._waiting_since = False, "", None
                dues.append(failing[1])
            else:
                if not self._holds:
                    self.flags.append(now)
                self._holds = True
                attempt, until = self._decide(now, known)
                dues.append(until)
        due = earliest(dues)
        if due is not None:
            due = max(due, now + timedelta(milliseconds=1))
        self._due = earliest([self._due, due]) if partly else due
        return attempt

    def _decide(self, now: datetime, known: Known) -> tuple[Attempt | None, datetime | None]:
        candidate = self._candidate(now, known)
        [decision] = decide_entries([candidate], now=now)
        if decision.enters:
            return Attempt(now, self._waiting_since or now, self.customer.id, candidate.key or ""), None
        if decision.held_out:
            self._open(candidate.key or "", "held_out", now)
            self._standing = "held_out"
        else:
            self._keep_out(decision.reason)
        return None, decision.until

    def _keep_out(self, reason: str) -> None:
        # The same answer once more isn't news, and who is inside isn't kept out.
        if reason not in (self._standing, "already_running"):
            self.kept_out[reason] += 1
        if reason != "waiting":
            self._waiting_since = None
        self._standing = reason

    def _candidate(self, now: datetime, known: Known) -> Candidate:
        playbook, policy, facts = self.door.playbook, self.door.policy, known.facts
        key = key_of_run(playbook, facts)
        before = [run for run in self.neighbours if run.entered_at <= now]
        mine = [(run.key, run.entered_at) for run in before if run.playbook == playbook.name]
        mine += [(run.key, run.entered_at) for run in self.runs]
        return Candidate(
            playbook=playbook,
            customer=facts.customer,
            policy=policy,
            condition=True,
            goal=self.door.trigger.goal(facts) if self.door.trigger.goal else None,
            open_runs=[
                *(
                    OpenRun(run.playbook, run.key or None, run.run_group)
                    for run in before
                    if run.ended_at is None or run.ended_at >= now
                ),
                *(
                    OpenRun(playbook.name, run.key or None, playbook.group)
                    for run in self.runs
                    if _stands(run, now)
                ),
            ],
            entries=sorted(at for of, at in mine if of == (key or "")),
            recent_entries=sorted(
                [*(run.entered_at for run in before), *(run.entered_at for run in self.runs)]
            ),
            channels=open_channels(facts, policy),
            key=key,
        )

    def _open(self, key: str, arm: str, now: datetime) -> PlayedRun:
        goal = self.door.playbook.goal
        window = timedelta(seconds=goal.within_seconds) if goal else OBSERVED if arm == "held_out" else None
        run = PlayedRun(key, arm, now, now + window if window else None)
        self.runs.append(run)
        return run

    def _close_observed(self, known: Known) -> datetime | None:
        """End held-out runs as the evaluator does; returns when time alone may end one."""
        dues: list[datetime | None] = []
        now = known.facts.now
        for run in self.runs:
            if run.arm != "held_out" or run.ended_at is not None:
                continue
            found = find_interruption(self.door.version, self._row(run), known.facts)
            if found is not None:
                run.ended_at, run.outcome = found.at, found.outcome
            elif run.goal_by is not None and now >= run.goal_by:
                run.ended_at, run.outcome = run.goal_by, "expired"
            else:
                dues += [explain(one, known.facts).changes_at for one in self.door.version.watched]
        return earliest(dues)

    def _row(self, run: PlayedRun) -> Run:
        playbook = self.door.playbook
        return Run(
            id="", playbook=playbook.name, version="", customer_id=self.customer.id, key=run.key,
            run_group=playbook.group, arm=run.arm, state="observed", trigger={}, variants={}, health_at_entry=None,
            churn_at_entry=None, entered_at=run.entered_at, goal_by=run.goal_by, workflow_id="", execution_id=None,
            start_attempts=0, step=None, paused=False, interruption=None, outcome=None, reason=None, ended_at=None,
        )  # fmt: skip


def _stands(run: PlayedRun, now: datetime) -> bool:
    """Whether the run is open when entries are decided at `now`.

    What ends it at this very moment ends it only afterwards, but for the goal's window, whose timer has fired by then,
    and for held-out runs, which the evaluator ends itself, before.
    """
    if run.ended_at is None or run.ended_at != now:
        return run.ended_at is None or run.ended_at > now
    return run.arm != "held_out" and (run.outcome != "expired" or run.ended_at != run.goal_by)
