"""Conditions of every form and facts that are as dirty as they come, for the tests that compare evaluators."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from rules.ages import units_elapsed
from rules.normalise import normalise
from schemas.catalogue import load_catalogue
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Change,
    Compare,
    Condition,
    Contains,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
)
from schemas.facts import Event, Facts
from schemas.facts_json import read_facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = 3_600, 86_400
TYPES: dict[str, Any] = {
    "score": "number",
    "rate": "number",
    "plan": "text",
    "vip": "bool",
    "seen": "time",
    "renewal": "date",
    "tags": "list",
    "days_since_seen": "number",
    "hours_since_paid": "number",
}
AGE_UNITS = {"days_since_seen": DAY, "hours_since_paid": HOUR}

numbers = st.sampled_from([0, 1, 2, 7, 39, 40, 40.0, 40.5, 41, 0.7, -1, 2**53, 1e300])
texts = st.sampled_from(["", "pro", "business", "40", "true", "vip", "2026-03-01", "zäh"])
constants = st.one_of(numbers, texts, st.booleans())
seconds = st.sampled_from([60, HOUR, DAY, 2 * DAY, 7 * DAY, 10**15])
# Mostly at, and a microsecond beside, the edges that windows have.
offsets = st.builds(
    lambda base, nudge: timedelta(seconds=base, microseconds=nudge),
    st.sampled_from([0, 60, HOUR, 9 * HOUR, DAY, 2 * DAY, 7 * DAY, -60, -HOUR, -DAY, -7 * DAY]),
    st.sampled_from([0, 0, 0, 1, -1, 500_000]),
)
instants = offsets.map(lambda offset: NOW - offset)
dirty = st.one_of(
    constants,
    instants,
    instants.map(datetime.date),
    instants.map(datetime.isoformat),
    st.none(),
    st.sampled_from(
        [float("nan"), float("inf"), 2**53 + 1, -(2**70), [], ["vip"], ["vip", 1], {"a": 1}, "\ud800"]
    ),
)


ages_of_times = st.sampled_from(["older_than", "within", "due_within", "overdue_by"])
operators = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])


def leaves(signals: st.SearchStrategy[str]) -> st.SearchStrategy[Condition]:
    """Any line about any signal, mostly of the wrong type."""
    found: list[st.SearchStrategy[Condition]] = [
        st.builds(Compare, signal=signals, op=operators, value=constants),
        st.builds(OneOf, signal=signals, values=st.lists(constants, max_size=4).map(tuple)),
        st.builds(Between, signal=signals, low=numbers, high=numbers),
        st.builds(Age, signal=signals, op=ages_of_times, seconds=seconds),
        st.builds(Presence, signal=signals, present=st.booleans()),
        st.builds(Contains, signal=signals, item=texts),
    ]
    return st.one_of(found)


counted = st.sampled_from(["score", "rate", *AGE_UNITS])
fitting_leaves: list[st.SearchStrategy[Condition]] = [
    st.builds(Compare, signal=counted, op=operators, value=numbers),
    st.builds(Between, signal=counted, low=numbers, high=numbers),
    st.builds(Age, signal=st.sampled_from(["seen", "renewal"]), op=ages_of_times, seconds=seconds),
    st.builds(Contains, signal=st.sampled_from(["tags", "plan"]), item=texts),
]


def groups(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    items = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(*(st.builds(kind, items=items) for kind in (AllOf, AnyOf, NoneOf)))


properties = st.sampled_from(["to", "amount", "due"])
due = st.builds(Age, signal=st.just("due"), op=ages_of_times, seconds=seconds)
where = st.recursive(st.one_of(leaves(properties), due), groups, max_leaves=4).map(
    lambda node: AllOf(items=(node,))
)
event_names = st.sampled_from(["login", "payment_failed"])
histories: list[st.SearchStrategy[Condition]] = [
    st.builds(
        Crossing,
        signal=st.sampled_from(["score", "rate", "plan", "days_since_seen"]),
        direction=st.sampled_from(["below", "above"]),
        level=numbers,
        for_seconds=st.one_of(st.just(0), seconds),
        rearm=st.one_of(st.none(), numbers),
    ),
    st.builds(
        Change,
        signal=st.sampled_from(["score", "rate", "days_since_seen"]),
        direction=st.sampled_from(["drop", "rise"]),
        by=numbers.filter(lambda n: n > 0),
        within_seconds=seconds,
    ),
    st.builds(
        EventCount,
        name=event_names,
        at_least=st.integers(1, 3),
        within_seconds=st.one_of(st.none(), seconds),
        where=st.one_of(st.none(), where),
    ),
]
lines = st.one_of(*fitting_leaves, leaves(st.sampled_from([*TYPES, "unheard_of"])), *histories)
conditions = st.recursive(lines, groups, max_leaves=12)
# Where time matters, one line at a time, or its neighbours' earlier changes would hide a late one.
passing = st.one_of(*fitting_leaves, *histories)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    ages = {
        name: (draw(instants.filter(lambda at: at <= NOW)), unit)
        for name, unit in AGE_UNITS.items()
        if draw(st.booleans())
    }
    signals: dict[str, Any] = {}
    for name, kind in TYPES.items():
        if name in ages:
            signals[name] = units_elapsed(*ages[name], NOW)
        elif draw(st.integers(0, 3)):
            # Half of what comes is of the right type, so that comparisons are reached.
            fitting = {"number": numbers, "text": texts, "bool": st.booleans(), "time": instants}.get(
                kind, dirty
            )
            value = normalise(draw(st.one_of(fitting, dirty)), kind)
            if value is not None:
                signals[name] = value
    days = st.integers(-2, 9).map(lambda ago: date(2026, 3, 2) - timedelta(days=ago))
    history = {}
    for name in ("score", "rate", "days_since_seen"):
        by_day = draw(st.dictionaries(days, st.one_of(numbers, dirty), max_size=6))
        points = [(day, normalise(by_day[day], "number")) for day in sorted(by_day)]
        history[name] = tuple((day, value) for day, value in points if value is not None)
    events = draw(
        st.lists(
            st.builds(
                Event,
                event_names,
                instants,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "to": dirty,
                        "amount": st.one_of(numbers, dirty),
                        "due": st.one_of(instants, dirty),
                    },
                ),
            ),
            max_size=6,
        )
    )
    return Facts("c1", NOW, signals, tuple(sorted(events, key=lambda event: event.at)), history, ages)


def at(known: Facts, now: datetime) -> Facts:
    """The same stored facts at another moment: only ages have gone on."""
    aged = {name: units_elapsed(since, unit, now) for name, (since, unit) in known.ages.items()}
    return replace(known, now=now, signals={**known.signals, **aged})


heights = st.sampled_from([20, 35, 45, 60])
spans = st.sampled_from([HOUR, DAY, 2 * DAY, 3 * DAY])
few_days = st.sampled_from([0, 1, 2, 2.5, 3])
lively_conditions = st.one_of(
    st.builds(Compare, signal=st.just("days_since_seen"), op=operators, value=few_days),
    st.builds(Between, signal=st.just("days_since_seen"), low=few_days, high=few_days),
    st.builds(OneOf, signal=st.just("days_since_seen"), values=st.lists(few_days, max_size=2).map(tuple)),
    st.builds(
        Crossing,
        signal=st.just("days_since_seen"),
        direction=st.sampled_from(["below", "above"]),
        level=few_days,
    ),
    st.builds(
        Crossing,
        signal=st.just("score"),
        direction=st.sampled_from(["below", "above"]),
        level=st.just(40),
        for_seconds=st.one_of(st.just(0), spans),
        rearm=st.sampled_from([None, 50, 30]),
    ),
    st.builds(
        Change,
        signal=st.just("score"),
        direction=st.sampled_from(["drop", "rise"]),
        by=st.sampled_from([10, 20]),
        within_seconds=spans,
    ),
    st.builds(
        EventCount,
        name=st.just("login"),
        at_least=st.integers(1, 3),
        within_seconds=st.one_of(st.none(), spans),
        where=st.sampled_from([None, AllOf(items=(Age(signal="due", op="due_within", seconds=DAY),))]),
    ),
)


@st.composite
def lively_facts(draw: st.DrawFn) -> Facts:
    """Facts in which much is about to change: histories and events around `now`, on both sides."""
    by_day = draw(st.dictionaries(st.integers(-3, 5), heights, min_size=2))
    history = tuple(
        (date(2026, 3, 2) - timedelta(days=ago), by_day[ago]) for ago in sorted(by_day, reverse=True)
    )
    moments = st.integers(-60, 60).map(lambda hours: NOW - timedelta(hours=hours))
    due = st.fixed_dictionaries({}, optional={"due": moments})
    events = draw(st.lists(st.builds(Event, st.just("login"), moments, due), max_size=5))
    seen = draw(moments.filter(lambda at: at <= NOW))
    return Facts(
        "c1",
        NOW,
        {"score": draw(heights), "days_since_seen": units_elapsed(seen, DAY, NOW)},
        sorted(events, key=lambda event: event.at),
        {"score": history, "days_since_seen": ((date(2026, 2, 28), draw(st.integers(0, 3))),)},
        {"days_since_seen": (seen, DAY)},
    )


# What scripts send: JSON, which says less of types than it seems to.
_CATALOGUE = load_catalogue()
_SAID = (
    "health_score",
    "plan",
    "influencer",
    "last_login",
    "renewal_date",
    "tags",
    "days_since_last_login",
    "own",
)
_times = st.sampled_from(
    [
        "2026-03-02T09:00:00", "2026-03-02T10:00:00+01:00", "2026-03-01", "2026-02-23T09:00:00Z",
        "2026-03-03T09:00:00.000001Z", "0001-01-01T00:00:00+14:00", "soon",
    ]
)  # fmt: skip
_json_values = st.one_of(
    numbers,
    texts,
    st.booleans(),
    _times,
    st.sampled_from(
        [
            None,
            [],
            ["vip"],
            ["vip", None],
            {},
            {"a": 1},
            "zäh",
            "\ud800",
            "\U0001f600",
            float("nan"),
            float("inf"),
        ]
    ),
    st.sampled_from([2**53, 2**53 + 1, -(2**70), 10**400, 5e-324, -0.0, 0.1 + 0.2]),
)
_json_days = st.sampled_from(
    ["2026-02-24", "2026-02-27", "2026-03-01T12:00:00", "2026-03-01", "2026-03-02", "2026-03-05"]
)
_documents = st.fixed_dictionaries(
    {"customer": st.just("c1")},
    optional={
        "signals": st.dictionaries(st.sampled_from(_SAID), _json_values, max_size=8),
        "history": st.fixed_dictionaries(
            {},
            optional={
                name: st.lists(st.tuples(_json_days, _json_values).map(list), max_size=6)
                for name in ("health_score", "days_since_last_login", "own")
            },
        ),
        "events": st.lists(
            st.fixed_dictionaries(
                {"name": event_names, "at": _times.filter(lambda text: text[0] == "2")},
                optional={
                    "properties": st.dictionaries(
                        st.sampled_from(["to", "amount", "due"]), _json_values, max_size=3
                    )
                },
            ),
            max_size=5,
        ),
        "profile": st.fixed_dictionaries({}, optional={"phone": st.sampled_from(["+49", "", None])}),
    },
)
said_facts = _documents.map(lambda document: read_facts(json.dumps(document), _CATALOGUE, now=NOW))
_said_names = st.sampled_from([*_SAID, "phone", "unheard_of"])
_said_history = st.sampled_from(["health_score", "days_since_last_login", "own", "plan"])
said_lines: list[st.SearchStrategy[Condition]] = [
    leaves(_said_names),
    st.builds(
        Crossing,
        signal=_said_history,
        direction=st.sampled_from(["below", "above"]),
        level=numbers,
        for_seconds=st.one_of(st.just(0), seconds),
        rearm=st.one_of(st.none(), numbers),
    ),
    st.builds(
        Change,
        signal=_said_history,
        direction=st.sampled_from(["drop", "rise"]),
        by=numbers.filter(lambda n: n > 0),
        within_seconds=seconds,
    ),
    histories[2],
]
said_conditions = st.recursive(st.one_of(*said_lines), groups, max_leaves=10)
