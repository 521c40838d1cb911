"""Playing a playbook over the stored past.

Every customer goes from look to look in the time that was: each event as it became known, each midnight, and whenever
time alone makes a look due. Whoever enters is played through the production workflow on virtual time, and goes on from
there. Customers know nothing of each other but for the entry limit: where there is one, those who would enter are let
in in the order of time, and nobody before all who may come earlier are known.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from activities.facts import HISTORY_DAYS
from activities.past_scores import SCORE
from activities.versions import Version
from loops.backtest.limits import describe_limits
from loops.backtest.past_customer import PastCustomer, Span
from loops.backtest.result import BacktestResult, Entrant, Message, Work, read_timeline
from loops.backtest.watcher import Attempt, Door, PlayedRun, Watcher
from loops.simulation.happening import Happening
from loops.simulation.run import Line
from loops.simulation.simulator import Case, Simulator
from loops.triggers import prepare_triggers
from rules.calendar import midnight_before, next_midnight
from rules.needs import Needs, run_needs, trigger_needs
from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import InputError
from schemas.nesting import walk
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import Policy
from schemas.step_type import StepTypes
from scoring.detection import Course, judge_flags, trace_status
from store.activity import PRESENCE_EVENTS
from store.database import Database
from store.past_reading import KeptPast, RecordedRun, load_pasts, sample_customers
from store.planning import read_only
from store.playbooks import Published

PAGE = 200
CUSTOMERS = 5_000
HORIZON = timedelta(days=60)
# A run on record is the one that is played anew if it began so near.
_SAME_ENTRY = timedelta(hours=1)
_NEVER = datetime.max.replace(tzinfo=UTC)
Say = Callable[[str], None]


@dataclass
class _Played:
    """One customer with everything that the backtest keeps of them."""

    past: KeptPast
    watcher: Watcher
    untold: Sequence[RecordedRun]
    sends: list[tuple[str, datetime]]
    messages: list[Message] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)
    escalated: int = 0


async def backtest(
    database: Database,
    playbook: CompiledPlaybook,
    start: datetime,
    end: datetime,
    *,
    policy: Policy,
    step_types: StepTypes,
    playbooks: Mapping[str, CompiledPlaybook] | None = None,
    horizon: timedelta = HORIZON,
    customers: int = CUSTOMERS,
    as_happened: bool = False,
    say: Say = lambda line: None,
) -> BacktestResult:
    """What `playbook` would have done from `start` to before `end`, had it been made live at `start`; writes nothing.

    At most `customers` are played, drawn by hash. `horizon` is how long after a flag a cancellation counts.
    as_happened: events count from when they happened, not from when they became known, as for imported histories.
    `say` is told how far it has come. Raises InputError for a playbook or a period with nothing to play.
    """
    begun = time.perf_counter()
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
    end = min(end, now)
    if playbook.enter is None:
        raise InputError(f"{playbook.name} has no `enter`: nobody would have entered by themselves.")
    if start >= end:
        raise InputError("The period is empty: it must begin before it ends, and before now.")
    catalogue = load_catalogue()
    span = Span(start, end)
    pasts, total = await _load(database, playbook, span, customers, as_happened=as_happened, say=say)
    share = len(pasts) / total if total else 1.0
    door = _make_door(playbook, policy, span, catalogue, share)
    needs = _needs(door.playbook)
    played = [_place(past, door, needs, catalogue, as_happened=as_happened) for past in pasts]
    async with Simulator(policy=policy, step_types=step_types, playbooks=playbooks or {}) as simulator:
        await _Course(door, played, simulator, say).run()
    courses = [
        Course(
            one.past.customer.external_id,
            one.watcher.customer.born,
            one.watcher.flags,
            *trace_status(one.watcher.customer.told, catalogue),
        )
        for one in played
    ]
    detection = judge_flags(courses, start=start, end=end, known_until=now, horizon=horizon)
    entrants = [
        Entrant(one.past.customer.external_id, run.entered_at, run.key, run.arm, run.outcome)
        for one in played
        for run in one.watcher.runs
    ]
    recorded = sum(len(one.untold) for one in played)
    return BacktestResult(
        playbook=playbook.name,
        version=playbook.version,
        start=start,
        end=end,
        zone=policy.default_zone,
        customers=len(played),
        of=total,
        entrants=sorted(entrants, key=lambda one: (one.at, one.customer)),
        kept_out=sum((one.watcher.kept_out for one in played), Counter()),
        messages=sorted((m for one in played for m in one.messages), key=lambda m: (m.at, m.customer)),
        work=sorted((w for one in played for w in one.work), key=lambda w: (w.at, w.customer)),
        escalated=sum(one.escalated for one in played),
        detection=detection,
        recorded_runs=recorded,
        limits=describe_limits(
            playbook,
            pasts,
            span,
            known_until=now,
            recorded=recorded,
            share=share,
            of=total,
            as_happened=as_happened,
            detection=detection,
        ),
        took_seconds=time.perf_counter() - begun,
    )


async def _load(
    database: Database,
    playbook: CompiledPlaybook,
    span: Span,
    customers: int,
    *,
    as_happened: bool,
    say: Say,
) -> tuple[list[KeptPast], int]:
    async with database.transaction() as connection:
        await read_only(connection)
        # Those of an imported history are younger than what happened to them.
        before = _NEVER if as_happened else span.end
        ids, total = await sample_customers(connection, before, customers)
    needs = _needs(playbook)
    midnight = midnight_before(span.start, "UTC")
    until = span.start.date() if midnight == span.start else span.start.date() + timedelta(days=1)
    days = ((span.start - timedelta(days=HISTORY_DAYS)).date(), until)
    pasts: list[KeptPast] = []
    for first in range(0, len(ids), PAGE):
        async with database.transaction() as connection:
            await read_only(connection)
            found = await load_pasts(
                connection,
                ids[first : first + PAGE],
                history=[SCORE, *needs.history],
                days=days,
                known_by=None if as_happened else span.start,
            )
        pasts += found.values()
        say(f"reading: {len(pasts)} of {len(ids)} customers")
    return pasts, total


def _make_door(
    playbook: CompiledPlaybook, policy: Policy, span: Span, catalogue: Catalogue, share: float
) -> Door:
    """The playbook as if it were live; of a sample of the customers, as large a share of the entry limit."""
    enter = playbook.enter
    assert enter is not None
    if enter.at_most_per_day is not None and share < 1:
        scaled = max(1, round(enter.at_most_per_day * share))
        enter = enter.model_copy(update={"at_most_per_day": scaled})
    live = playbook.model_copy(update={"status": "live", "enter": enter})
    [trigger] = prepare_triggers(Published({live.name: live}, policy, ""), catalogue).triggers
    return Door(live, Version(live), trigger, policy, span)


def _needs(playbook: CompiledPlaybook) -> Needs:
    needs = trigger_needs(playbook) | run_needs(playbook)
    windows = [playbook.send, *(step.send for step in walk(playbook.steps) if isinstance(step, Act))]
    if any(window and window.best_time for window in windows):
        needs |= Needs(events=dict.fromkeys(PRESENCE_EVENTS, None))
    return needs


def _place(past: KeptPast, door: Door, needs: Needs, catalogue: Catalogue, *, as_happened: bool) -> _Played:
    """The customer at the start, with the runs on record that are not played anew."""
    name, start = door.playbook.name, door.span.start
    real = [run for run in past.runs if run.arm != "shadow"]
    untold = [run for run in real if run.playbook == name and run.entered_at >= start]
    gone = {run.id for run in untold}
    customer = PastCustomer(past, needs, catalogue, door.span, as_happened=as_happened, untold=gone)
    watcher = Watcher(door, customer, [run for run in real if run.id not in gone])
    sends = [(send.channel, send.at) for send in past.sends if send.run_id not in gone]
    in_span = [run for run in untold if run.entered_at < door.span.end]
    return _Played(past, watcher, in_span, sends)


class _Course:
    """The customers' ways through the time that was, round by round: attempts, then the runs of those let in."""

    def __init__(self, door: Door, played: Sequence[_Played], simulator: Simulator, say: Say) -> None:
        self._door, self._simulator, self._say = door, simulator, say
        self._played = {one.watcher.customer.id: one for one in played}
        self._attempts: list[Attempt] = []
        self._admitted: defaultdict[date, int] = defaultdict(int)
        self._entered = 0
        self._told = time.monotonic()
        self._count_recorded()

    async def run(self) -> None:
        """Go on until nobody would enter any more."""
        ready = list(self._played.values())
        while ready or self._attempts:
            for count, one in enumerate(ready, start=1):
                self._await_attempt(one)
                if count % 20 == 0:
                    self._tell(f"looking: {count} of {len(ready)} customers, {self._entered} entered so far")
                    await asyncio.sleep(0)
            entering = self._let_in()
            ready = [one for one, _, _ in entering]
            await self._play(entering)

    def _await_attempt(self, one: _Played) -> None:
        attempt = one.watcher.go_on()
        if attempt is not None:
            heapq.heappush(self._attempts, attempt)

    def _let_in(self) -> list[tuple[_Played, Attempt, PlayedRun]]:
        """Those whose entry can be decided now, as nobody who isn't known of may come before them."""
        enter = self._door.playbook.enter
        assert enter is not None
        limit, zone = enter.at_most_per_day, self._door.policy.default_zone
        entering = []
        known_until = _NEVER
        while self._attempts and self._attempts[0].at <= known_until:
            attempt = heapq.heappop(self._attempts)
            one = self._played[attempt.customer_id]
            day = midnight_before(attempt.at, zone).date()
            if limit is not None and self._admitted[day] >= limit:
                one.watcher.wait(attempt, next_midnight(attempt.at, zone))
                self._await_attempt(one)
                continue
            self._admitted[day] += 1
            entering.append((one, attempt, one.watcher.enter(attempt)))
            if limit is not None:
                known_until = min(known_until, self._back_again(attempt.at))
        return entering

    def _back_again(self, entered_at: datetime) -> datetime:
        """When somebody who entered then may enter anew at the earliest."""
        enter = self._door.playbook.enter
        assert enter is not None
        if enter.key or enter.again.kind in ("always", "times"):
            return entered_at
        return _NEVER if enter.again.kind == "never" else entered_at + timedelta(seconds=enter.again.seconds)

    async def _play(self, entering: Sequence[tuple[_Played, Attempt, PlayedRun]]) -> None:
        """Play the runs of those who entered, and have the customers live with what came of them."""
        if not entering:
            return
        self._entered += len(entering)
        self._tell(f"playing {len(entering)} runs from {min(a.at for _, a, _ in entering):%Y-%m-%d} on")
        subjects = [one.watcher.customer.fork(_deeds(one, run)) for one, _, run in entering]
        cases = [
            Case(self._door.playbook, subject.facts(attempt.at), (), attempt.at, one.sends, customer=subject)
            for (one, attempt, _), subject in zip(entering, subjects, strict=True)
        ]
        timelines = await self._simulator.play_many(cases)
        for (one, _, run), subject, lines in zip(entering, subjects, timelines, strict=True):
            self._take(one, run, lines)
            one.watcher.undergo(subject.effects)

    def _take(self, one: _Played, run: PlayedRun, lines: Sequence[Line]) -> None:
        external_id = one.past.customer.external_id
        messages, work, escalated = read_timeline(external_id, run, lines, self._door.span.end)
        one.messages += messages
        one.work += work
        one.escalated += escalated
        one.sends += [(message.channel, message.at) for message in messages if message.outcome == "sent"]

    def _count_recorded(self) -> None:
        """Who was admitted on the first day before the start has taken a place of it."""
        start, name, zone = self._door.span.start, self._door.playbook.name, self._door.policy.default_zone
        midnight = midnight_before(start, zone)
        self._admitted[midnight.date()] = sum(
            run.playbook == name and run.arm == "treated" and midnight <= run.entered_at < start
            for one in self._played.values()
            for run in one.past.runs
        )

    def _tell(self, line: str) -> None:
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            self._say(line)


def _deeds(one: _Played, run: PlayedRun) -> list[Happening]:
    """What people did about the calls and tasks of the run on record that is played anew."""
    same = next(
        (
            real
            for real in one.untold
            if real.arm == "treated"
            and real.key == run.key
            and abs(real.entered_at - run.entered_at) <= _SAME_ENTRY
        ),
        None,
    )
    return [
        Happening(work.at, do="complete", step=work.step, outcome=work.outcome)
        for work in one.past.work
        if same is not None and work.run_id == same.id
    ]
