"""Playing a playbook over the stored past.

Every customer goes from look to look in the time that was: each event as it became known, each midnight, and whenever
time alone makes a look due. Whoever enters is played through the production workflow on virtual time, and goes on from
there. Customers know nothing of each other but for the entry limit: where there is one, those who would enter are let
in in the order of time, and nobody before all who may come earlier are known.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from activities.facts import HISTORY_DAYS
from activities.health import load_scorer
from activities.past_scores import SCORE
from activities.versions import Version
from loops.backtest.limits import describe_limits
from loops.backtest.past_customer import PastCustomer
from loops.backtest.result import BacktestResult, Entrant
from loops.backtest.rounds import NEVER, Played, Rounds, Say
from loops.backtest.span import Span
from loops.backtest.watcher import Door, Watcher
from loops.simulation.simulator import Simulator
from loops.triggers import prepare_triggers
from rules.calendar import midnight_before
from rules.needs import Needs, run_needs, trigger_needs
from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import InputError
from schemas.nesting import walk
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import Policy
from schemas.sent import Sent
from schemas.step_type import StepTypes
from scoring.detection import Course, judge_flags, trace_status
from scoring.health import Scorer
from store.activity import PRESENCE_EVENTS
from store.database import Database
from store.kept_past import KeptPast
from store.past_reading import load_pasts, sample_customers
from store.planning import read_only
from store.playbooks import Published

PAGE = 200
CUSTOMERS = 5_000
HORIZON = timedelta(days=60)


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
        # Health is worked out anew, by the model that is live.
        scorer = await load_scorer(connection)
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
    played = [_place(past, door, needs, catalogue, scorer, as_happened=as_happened) for past in pasts]
    async with Simulator(policy=policy, step_types=step_types, playbooks=playbooks or {}) as simulator:
        await Rounds(door, played, simulator, say).run()
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
        before = NEVER if as_happened else span.end
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


def _place(
    past: KeptPast, door: Door, needs: Needs, catalogue: Catalogue, scorer: Scorer, *, as_happened: bool
) -> Played:
    """The customer at the start, with the runs on record that are not played anew."""
    name, start = door.playbook.name, door.span.start
    real = [run for run in past.runs if run.arm != "shadow"]
    untold = [run for run in real if run.playbook == name and run.entered_at >= start]
    gone = {run.id for run in untold}
    customer = PastCustomer(
        past, needs, catalogue, door.span, as_happened=as_happened, untold=gone, scorer=scorer
    )
    watcher = Watcher(door, customer, [run for run in real if run.id not in gone])
    sends: list[Sent | tuple[str, datetime]] = [send.sent for send in past.sends if send.run_id not in gone]
    in_span = [run for run in untold if run.entered_at < door.span.end]
    return Played(past, watcher, in_span, sends)
