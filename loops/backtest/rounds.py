"""The customers' ways through the time that was, round by round: looks, then the runs of those who are let in."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from activities.routing import topic_of
from loops.backtest.result import Message, Work, read_timeline
from loops.backtest.watcher import Attempt, Door, PlayedRun, Watcher
from loops.simulation.happening import Happening
from loops.simulation.run import Line
from loops.simulation.simulator import Case, Simulator
from rules.calendar import midnight_before, next_midnight
from schemas.plan import Act
from schemas.sent import Sent
from store.kept_past import KeptPast, RecordedRun

# A run on record is the one that is played anew if it began so near.
_SAME_ENTRY = timedelta(hours=1)
NEVER = datetime.max.replace(tzinfo=UTC)
Say = Callable[[str], None]


@dataclass
class Played:
    """One customer with everything that the backtest keeps of them."""

    past: KeptPast
    watcher: Watcher
    untold: Sequence[RecordedRun]
    sends: list[Sent | tuple[str, datetime]]
    messages: list[Message] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)
    escalated: int = 0


class Rounds:
    """All customers between two moments, on their way."""

    def __init__(self, door: Door, played: Sequence[Played], simulator: Simulator, say: Say) -> None:
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

    def _await_attempt(self, one: Played) -> None:
        attempt = one.watcher.go_on()
        if attempt is not None:
            heapq.heappush(self._attempts, attempt)

    def _let_in(self) -> list[tuple[Played, Attempt, PlayedRun]]:
        """Those whose entry can be decided now, as nobody who isn't known of may come before them."""
        enter = self._door.playbook.enter
        assert enter is not None
        limit, zone = enter.at_most_per_day, self._door.policy.default_zone
        entering = []
        known_until = NEVER
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
        return NEVER if enter.again.kind == "never" else entered_at + timedelta(seconds=enter.again.seconds)

    async def _play(self, entering: Sequence[tuple[Played, Attempt, PlayedRun]]) -> None:
        """Play the runs of those who entered, and have the customers live with what came of them."""
        if not entering:
            return
        self._entered += len(entering)
        self._tell(f"playing {len(entering)} runs from {min(a.at for _, a, _ in entering):%Y-%m-%d} on")
        subjects = [one.watcher.customer.fork(_deeds(one, run)) for one, _, run in entering]
        cases = [
            Case(
                self._door.playbook,
                subject.facts(attempt.at),
                (),
                attempt.at,
                one.sends,
                customer=subject,
                talks=[work.at for work in one.past.work if work.talked],
            )
            for (one, attempt, _), subject in zip(entering, subjects, strict=True)
        ]
        timelines = await self._simulator.play_many(cases)
        for (one, _, run), subject, lines in zip(entering, subjects, timelines, strict=True):
            self._take(one, run, lines)
            one.watcher.undergo(subject.effects)

    def _take(self, one: Played, run: PlayedRun, lines: Sequence[Line]) -> None:
        external_id = one.past.customer.external_id
        messages, work, escalated = read_timeline(external_id, run, lines, self._door.span.end)
        one.messages += messages
        one.work += work
        one.escalated += escalated
        playbook, steps = self._door.playbook, self._door.version.steps
        for message in messages:
            step = steps.get(message.step)
            if message.outcome == "sent" and isinstance(step, Act):
                topic = topic_of(playbook, step)
                one.sends.append(Sent(message.channel, message.at, topic, playbook.name))

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


def _deeds(one: Played, run: PlayedRun) -> list[Happening]:
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
