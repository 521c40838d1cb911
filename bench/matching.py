"""Matching: a population against triggers on columns, and one event against thousands, beside other rule engines.

Times are of the processor, not of the clock: other programs on the machine don't count. Every engine's answers are
compared with the generated code's before its time counts for anything.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bench.expressions import compile_cel, compile_zen
from bench.population import make_population, sample_rows
from bench.system import Say
from bench.triggers import make_triggers
from loops.triggers import prepare_triggers
from rules.columns import match_columns
from rules.engines import match_with
from rules.generated import HOLDS, compile_lines
from rules.needs import needs_of
from rules.reference import explain
from schemas.catalogue import load_catalogue
from schemas.condition import AllOf, Condition
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook, Enter
from schemas.policy import Policy
from store.playbooks import Published

BATCH_LIMIT_SECONDS = 5.0
EVENT_LIMIT_MS = 0.5
# What one login changes: itself, what is counted of it, and the ages, which are new at every moment.
LOGIN = frozenset(
    {
        "login",
        "last_login",
        "days_since_last_login",
        "account_age_days",
        "session_count_30d",
        "active_days_30d",
    }
)
SKIPPED = "not installed"
# Enough for a rival's 99th percentile; it takes minutes otherwise.
RIVALS_CUSTOMERS = 300


@dataclass(frozen=True)
class Batch:
    """A population at once: CPU seconds on columns, and how many rows were compared with the reference.

    `plain_us` and `engines` are the same on plain rules: microseconds per customer, and what single customers took.
    """

    customers: int
    triggers: int
    seconds: float
    compared: int
    plain_us: float
    engines: Mapping[str, Latency | None]


@dataclass(frozen=True)
class Latency:
    """CPU milliseconds of one customer's matching."""

    mean_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Matching:
    """One event through the live path's triggers, and every engine on the same plain rules; None: not installed."""

    playbooks: int
    batch: Batch
    event: Latency
    everything: Latency
    concerned: int
    engines: Mapping[str, Latency | None]
    compared: int


def measure(say: Say, *, customers: int, triggers: int, playbooks: int, events: int) -> Matching:
    """Measure all; raises AssertionError where answers differ."""
    batch = _measure_batch(say, customers, triggers, events)
    population = make_population(20_000, seed=5)
    people = [population.facts_of(row) for row in sample_rows(20_000, events)]
    say(f"  one event, {playbooks} playbooks live")
    live = prepare_triggers(_publish(make_triggers(playbooks)), load_catalogue(), "generated")
    concerned = live.asked(LOGIN)
    everything = live.asked(None)
    for facts in people[: max(5, events // 50)]:
        _check_live(live.answers.find(facts, everything), live.triggers, facts)
    event = _time(lambda facts: live.answers.find(facts, concerned), people)
    full = _time(lambda facts: live.answers.find(facts, everything), people)
    plain = make_triggers(playbooks, plain=True)
    engines = _measure_engines(say, plain, people[:RIVALS_CUSTOMERS])
    return Matching(playbooks, batch, event, full, sum(concerned), engines, len(people))


def _measure_batch(say: Say, customers: int, triggers: int, events: int) -> Batch:
    say(f"  {customers} customers against {triggers} triggers on columns")
    named = make_triggers(triggers)
    population = make_population(customers)
    gc.collect()
    began = time.process_time()
    answers = match_columns(named, population.columns)
    seconds = time.process_time() - began
    rows = sample_rows(customers, 200)
    for row in rows:
        facts = population.facts_of(row)
        for name, condition in named.items():
            expected = {True: 1, False: 0, None: -1}[explain(condition, facts).result]
            assert answers[name][row] == expected, (name, row)
    plain = make_triggers(triggers, plain=True)
    gc.collect()
    began = time.process_time()
    found = match_columns(plain, population.columns)
    plain_us = (time.process_time() - began) / customers * 1e6
    rows = sample_rows(customers, min(events, RIVALS_CUSTOMERS))
    expected = [[name for name in sorted(plain) if found[name][row] == 1] for row in rows]
    engines = _measure_engines(say, plain, [population.facts_of(row) for row in rows], expected)
    return Batch(customers, triggers, seconds, min(customers, 200), plain_us, engines)


def _publish(named: Mapping[str, Condition]) -> Published:
    playbooks = {}
    for name, condition in named.items():
        assert isinstance(condition, AllOf)
        needs = needs_of([condition])
        enter = Enter(when=condition, signals=tuple(sorted(needs.signals | set(needs.events))))
        playbooks[name] = CompiledPlaybook(
            name=name, title=name, owner="bench", status="live", enter=enter, steps=()
        )
    return Published(playbooks, Policy(), "")


def _check_live(found: Sequence[int], triggers: Sequence[Any], facts: Facts) -> None:
    for trigger, failing in zip(triggers, found, strict=True):
        results = [explain(line, facts).result for line, _, _ in trigger.lines]
        first = next((at for at, result in enumerate(results) if result is not True), HOLDS)
        assert failing == first, (trigger.playbook.name, facts.customer)


def _measure_engines(
    say: Say,
    named: Mapping[str, Condition],
    people: Sequence[Facts],
    expected: Sequence[list[str]] | None = None,
) -> dict[str, Latency | None]:
    """Every engine on the same plain rules; all must find the same matches (by default, the generated code's)."""
    names = sorted(named)
    find = compile_lines([[named[name]] for name in names])
    every = b"\1" * len(names)

    def by_generated(facts: Facts) -> list[str]:
        return [name for name, place in zip(names, find(facts, every), strict=True) if place == HOLDS]

    expected = expected or [by_generated(facts) for facts in people]
    engines: dict[str, Latency | None] = {}
    others: dict[str, tuple[str, Callable[[], Callable[[Facts], list[str]]]]] = {
        "generated": ("rules.generated", lambda: by_generated),
        "durable_rules": ("durable_rules_engine", lambda: _one(match_with("durable_rules", named))),
        "CEL (common-expression-language)": ("cel", lambda: compile_cel(named)),
        "zen-engine": ("zen", lambda: compile_zen(named)),
    }
    for engine, (module, make) in others.items():
        if find_spec(module) is None:
            say(f"  {engine}: {SKIPPED}")
            engines[engine] = None
            continue
        say(f"  {engine}")
        match = make()
        for facts, names_of in zip(people, expected, strict=True):
            assert match(facts) == names_of, (engine, facts.customer)
        engines[engine] = _time(match, people)
    return engines


def _one(
    match: Callable[[Sequence[Facts]], list[tuple[list[str], list[str]]]],
) -> Callable[[Facts], list[str]]:
    return lambda facts: match([facts])[0][0]


def _time(match: Callable[[Facts], object], people: Sequence[Facts]) -> Latency:
    """Each customer three times, of which the median counts: what other programs take from the processor's caches hits
    now one call, now another. The collector of garbage is kept out of it.
    """
    for facts in people[:20]:
        match(facts)
    rounds: list[list[int]] = [[], [], []]
    gc.collect()
    gc.disable()
    try:
        for took in rounds:
            for facts in people:
                began = time.thread_time_ns()
                match(facts)
                took.append(time.thread_time_ns() - began)
    finally:
        gc.enable()
    took = sorted(sorted(three)[1] for three in zip(*rounds, strict=True))
    mean, p50, p99 = (
        sum(took) / len(took),
        took[len(took) // 2],
        took[min(len(took) - 1, len(took) * 99 // 100)],
    )
    return Latency(mean / 1e6, p50 / 1e6, p99 / 1e6)
