"""Who enters a playbook, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from rules.assignment import held_out
from rules.calendar import next_midnight
from rules.consent import MESSAGE_CHANNELS
from rules.instants import later, span
from rules.kleene import Truth
from rules.opening import cap_frees
from schemas.facts import Facts
from schemas.form import format_duration
from schemas.nesting import walk
from schemas.plan import Act, Again, CompiledPlaybook, Enter, Steps
from schemas.policy import Cap, Policy
from schemas.signal_value import WrongType

EntryReason = Literal[
    "entered", "held_out", "condition", "goal_met", "already_running", "again_rule", "group", "entries",
    "waiting", "no_consent", "paused", "draft", "shadow", "retired",
]  # fmt: skip

# What reaches a customer without their consent: messages inside the product, and people.
_ALWAYS_POSSIBLE = ("in_app", "call", "task")


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that hasn't ended: treated, held out, or a shadow, which only its own playbook's shadow sees."""

    playbook: str
    key: str | None = None
    group: str | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A customer before the door of a playbook.

    `customer` is the caller's id. `condition` and `goal` are the truths of `enter.when` and of the goal's
    condition (None: unknown; a goal without condition: None); `condition_detail` names the deciding line.
    `entries` are the earlier entries of this playbook under this key, `recent_entries` those of any playbook,
    held-out ones included in both. `admitted_today` counts everyone's entries of the playbook since midnight
    of the default zone. Where the playbook is a shadow, its own shadow entries are among all three, and nowhere
    else. `channels` says of each channel that needs consent whether consent and an address are there. `key` is the
    value of the signal that `enter.key` names; None: it is missing, and so nobody enters.
    """

    playbook: CompiledPlaybook
    customer: str
    policy: Policy
    condition: Truth
    goal: Truth = None
    open_runs: Sequence[OpenRun] = ()
    entries: Sequence[datetime] = ()
    recent_entries: Sequence[datetime] = ()
    admitted_today: int = 0
    channels: Mapping[str, bool] = field(default_factory=dict)
    key: str | None = None
    condition_detail: str = ""


@dataclass(frozen=True, slots=True)
class EntryDecision:
    """`enters`: a treated run starts. `held_out`: a row without a workflow. `shadows`: a run starts that touches
    nobody. `until`: when it may be otherwise.
    """

    reason: EntryReason
    enters: bool = False
    held_out: bool = False
    shadows: bool = False
    until: datetime | None = None
    detail: str = ""

    @property
    def occupies(self) -> bool:
        """Whether playbook and group are now taken, and the entry counts."""
        return self.enters or self.held_out


def key_of_run(playbook: CompiledPlaybook, facts: Facts) -> str | None:
    """What tells this customer's runs of the playbook apart: the value of the signal in `enter.key`, as text.

    None where the playbook has no key, or the signal no value that can be compared.
    """
    value = facts.signals.get(playbook.enter.key) if playbook.enter and playbook.enter.key else None
    return None if value is None or isinstance(value, WrongType) else str(value)


def decide_entry(candidate: Candidate, *, now: datetime) -> EntryDecision:
    """Decide on one candidate; the first reason against it is the answer.

    Eligibility is decided before, and without regard to, the arm. A shadow playbook answers `shadow` only
    where a live one would have admitted or held out the customer; where it would have admitted, a shadow run starts.
    """
    return next(_objections(candidate, now), None) or _draw(candidate, now)


def list_objections(candidate: Candidate, *, now: datetime) -> list[EntryDecision]:
    """Everything against this entry, the weightiest first; without any, `draw_arm` says what it comes to."""
    return list(_objections(candidate, now))


def draw_arm(candidate: Candidate, *, now: datetime) -> EntryDecision:
    """What the entry of an eligible customer comes to: treated, held out, a shadow, or waiting for another day."""
    return _draw(candidate, now)


def decide_entries(candidates: Sequence[Candidate], *, now: datetime) -> list[EntryDecision]:
    """Decide on all candidates of one customer in one evaluation; answers in the order given.

    Higher priority goes first (then by name and key): it takes the group, and a place under the policy's
    `entries` and the playbook's `at_most`, before the others are looked at.
    """
    order = sorted(range(len(candidates)), key=lambda index: _rank(candidates[index]))
    decisions: dict[int, EntryDecision] = {}
    entered: list[OpenRun] = []
    admitted: Counter[str] = Counter()
    for index in order:
        candidate = candidates[index]
        playbook = candidate.playbook
        decisions[index] = decision = decide_entry(
            replace(
                candidate,
                open_runs=(*candidate.open_runs, *entered),
                recent_entries=(
                    *candidate.recent_entries,
                    *[now for run in entered if not run.shadow or _is_shadow_of(playbook, run)],
                ),
                admitted_today=candidate.admitted_today + admitted[playbook.name],
            ),
            now=now,
        )
        if decision.occupies or decision.shadows:
            entered.append(OpenRun(playbook.name, candidate.key, playbook.group, decision.shadows))
        admitted[playbook.name] += decision.enters or decision.shadows
    return [decisions[index] for index in range(len(candidates))]


def _rank(candidate: Candidate) -> tuple[int, str, str]:
    return -candidate.playbook.priority, candidate.playbook.name, candidate.key or ""


def _is_shadow_of(playbook: CompiledPlaybook, run: OpenRun) -> bool:
    return playbook.status == "shadow" and run.shadow and run.playbook == playbook.name


def _objections(candidate: Candidate, now: datetime) -> Iterator[EntryDecision]:
    """Every reason against entry, the weightiest first."""
    playbook = candidate.playbook
    open_runs = [run for run in candidate.open_runs if not run.shadow or _is_shadow_of(playbook, run)]
    if playbook.status in ("draft", "paused", "retired"):
        yield EntryDecision(playbook.status, detail=f"{playbook.name} is {playbook.status}")
    if candidate.condition is not True:
        word = "unknown" if candidate.condition is None else "false"
        yield EntryDecision("condition", detail=candidate.condition_detail or f"enter.when is {word}")
    if playbook.enter is not None and playbook.enter.key and candidate.key is None:
        yield EntryDecision("condition", detail=f"enter.key: {playbook.enter.key} is missing")
    if playbook.goal is not None and candidate.goal is True:
        yield EntryDecision("goal_met", detail=f"the goal {playbook.goal.name} already holds")
    if any(run.playbook == playbook.name and run.key == candidate.key for run in open_runs):
        under = f" for {playbook.enter.key} {candidate.key}" if playbook.enter and playbook.enter.key else ""
        yield EntryDecision("already_running", detail=f"a run of {playbook.name}{under} is open")
    yield from _again(playbook.enter, candidate.entries, now)
    neighbour = next((run for run in open_runs if run.group and run.group == playbook.group), None)
    if neighbour is not None:
        yield EntryDecision("group", detail=f"{neighbour.playbook} runs in the group {playbook.group}")
    limit = candidate.policy.entries
    if limit is not None:
        free = cap_frees(limit, candidate.recent_entries, now)
        if free is None or free > now:
            detail = f"{limit.times} entries within {format_duration(limit.seconds)} are used up"
            yield EntryDecision("entries", until=free, detail=detail)
    if not _reachable(playbook.steps, candidate.channels):
        yield EntryDecision("no_consent", detail="no channel of the playbook has both consent and an address")


def _again(enter: Enter | None, entries: Sequence[datetime], now: datetime) -> Iterator[EntryDecision]:
    if enter is None or not entries:
        return
    again, until = enter.again, _again_from(enter.again, entries, now)
    if again.kind == "never":
        yield EntryDecision("again_rule", detail="again: never")
    elif until is None or until > now:
        period = format_duration(again.seconds)
        rule = f"after {period}" if again.kind == "after" else f"{again.times} per {period}"
        yield EntryDecision("again_rule", until=until, detail=f"again: {rule}")


def _again_from(again: Again, entries: Sequence[datetime], now: datetime) -> datetime | None:
    """When one more entry is allowed: `now` or later; None for never."""
    match again.kind:
        case "after":
            free = later(max(entries), span(again.seconds))
            return None if free is None else max(now, free)
        case "times":
            return cap_frees(Cap(times=again.times, seconds=again.seconds), entries, now)
        case "never":
            return None
        case "always":
            return now


def _draw(candidate: Candidate, now: datetime) -> EntryDecision:
    """The arm of an eligible customer, and for the treated the entry limit: the held-out take no place under
    it.
    """
    playbook, enter = candidate.playbook, candidate.playbook.enter
    shares = [("global", candidate.policy.holdout_percent, "the policy's holdout")]
    if enter is not None:
        shares.append((f"playbook/{playbook.name}", enter.holdout_percent, "the playbook's holdout"))
    held = next((name for salt, percent, name in shares if held_out(salt, percent, candidate.customer)), None)
    shadow = playbook.status == "shadow"
    if held is not None:
        return (
            EntryDecision("shadow", detail="would have been held out")
            if shadow
            else EntryDecision("held_out", held_out=True, detail=held)
        )
    limit = enter.at_most_per_day if enter is not None else None
    if limit is not None and candidate.admitted_today >= limit:
        until = next_midnight(now, candidate.policy.default_zone)
        return EntryDecision("waiting", until=until, detail=f"at_most: {limit} per day are admitted")
    if shadow:
        return EntryDecision("shadow", shadows=True, detail="would have entered")
    return EntryDecision("entered", enters=True)


def _reachable(steps: Steps, channels: Mapping[str, bool]) -> bool:
    """Whether any contact of the playbook is possible; one without any contact needs none."""
    contacts = set(_contacts(steps))
    return not contacts or any(name in _ALWAYS_POSSIBLE or channels.get(name, False) for name in contacts)


def _contacts(steps: Steps) -> Iterator[str]:
    """The channels and human steps anywhere in `steps`, every arm and branch included."""
    for step in walk(steps):
        if not isinstance(step, Act):
            continue
        if step.human:
            yield "task"
        elif step.word == "message":
            yield from step.args.get("channels") or MESSAGE_CHANNELS
        elif step.word in MESSAGE_CHANNELS or step.word in _ALWAYS_POSSIBLE:
            yield step.word
