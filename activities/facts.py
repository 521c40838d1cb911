"""Assembling what is known of customers at one moment, from the store, by the one definition of each signal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, reduce
from operator import or_
from types import MappingProxyType
from typing import cast

from activities.health import find_predictors, find_scorer, load_predictors, load_scorer
from activities.past_scores import DAYS as SCORE_DAYS
from activities.past_scores import PastScores, load_scores
from rules.needs import Needs
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event, Facts
from schemas.health_model import DEFAULT_MODEL
from schemas.signal_value import WrongType
from scoring.health import Scorer
from scoring.predictors import RULES_ONLY, Predictors
from scoring.signals import Derived, Tally, ages, derive
from store import contact, events, signals, suppressions
from store.asking import Source
from store.assessment_reading import AssessmentReading
from store.customers import Customer, load_customers
from store.database import Connection
from store.serving import Serving
from store.signals import StoredSignals
from store.step_reading import Reading

HISTORY_DAYS = 120
# What a playbook may list among its `signals` for a score that is another now.
TOLD_AS = {"health_score": "health_changed", "churn_probability": "churn_scored"}


@dataclass(frozen=True)
class Known:
    """One customer: profile, facts at `facts.now`, and the stored row with what was derived merged in.

    `changed` names the signals whose value isn't the stored one, ages (which are never stored) always among them;
    `moved` says whether the row is another than the stored one and wants to be saved. `derived` is what
    health and churn are made of.
    """

    customer: Customer
    facts: Facts
    stored: StoredSignals
    changed: frozenset[str]
    derived: Derived
    moved: bool = True


async def load_known(
    connection: Connection,
    customer_ids: Sequence[str],
    now: datetime,
    needs: Needs,
    catalogue: Catalogue,
    *,
    more: Mapping[str, Needs] = MappingProxyType({}),
    past: PastScores | None = None,
    reachability: bool = True,
    scorer: Scorer | None = None,
    predictors: Predictors | None = None,
) -> dict[str, Known]:
    """What is known of these customers at `now`; of events and history only what `needs` names. Missing ids are
    left out.

    `more` adds needs of single customers; `past` remembers scores between calls; `scorer` is that of the live health
    model and `predictors` are those that serve (None: they are read). `reachability=False` leaves consent
    and suppression out of the facts: conditions don't look at them.
    """
    customers = await load_customers(connection, customer_ids)
    ids = list(customers)
    stored = await signals.load(connection, ids)
    tallies = await signals.load_tallies(connection, ids, (now - timedelta(days=catalogue.tally_days)).date())
    all_needs = reduce(or_, more.values(), needs)
    if scorer is None:
        scorer = await load_scorer(connection)
    if predictors is None:
        predictors = await load_predictors(connection, catalogue)
    scores = await (past.load if past else load_scores)(connection, ids, now.astimezone(UTC).date())
    history = await signals.load_history(
        connection, ids, all_needs.history, (now - timedelta(days=HISTORY_DAYS)).date()
    )
    # What a run listens for is often looked for since its entry: too much to load for everybody.
    happened = await events.load_events(
        connection, [id_ for id_ in ids if id_ not in more], needs.events, now
    )
    happened |= await events.load_events(
        connection, [id_ for id_ in ids if id_ in more], all_needs.events, now
    )
    known = {
        id_: assemble(
            customer,
            stored.get(id_) or StoredSignals(id_),
            # The store's rows have a tally's fields in its order.
            cast("Sequence[Tally]", tallies.get(id_, ())),
            now=now,
            catalogue=catalogue,
            scores=scores[id_],
            scorer=scorer,
            predictors=predictors,
            history=history.get(id_, {}),
            events=happened.get(id_, ()),
        )
        for id_, customer in customers.items()
    }
    return await load_reachability(connection, known) if reachability else known


async def assemble_assessment(
    source: Source, reading: AssessmentReading, catalogue: Catalogue
) -> tuple[Known, Scorer]:
    """What is known of one customer at `reading.now`, without events and history, and the scorer of the live model."""
    scorer = await find_scorer(source, reading.health_model_name or DEFAULT_MODEL, reading.health_model)
    known = assemble(
        reading.customer,
        reading.stored,
        cast("Sequence[Tally]", reading.tallies),
        now=reading.now,
        catalogue=catalogue,
        scores=reading.scores,
        scorer=scorer,
        predictors=await find_predictors(source, reading.serving, catalogue),
        history={},
        events=(),
    )
    return known, scorer


async def assemble_reading(
    connection: Connection,
    customer: Customer,
    reading: Reading,
    now: datetime,
    needs: Needs,
    catalogue: Catalogue,
) -> Known:
    """What is known at `now` of the customer of a step, out of what was read with it; of events and history, which are
    read now, only what `needs` names.
    """
    today, id_ = now.astimezone(UTC).date(), customer.id
    scorer = await find_scorer(connection, reading.health_model_name or DEFAULT_MODEL, reading.health_model)
    serving = Serving(reading.champions, reading.churn_policy, reading.told_at)
    history = await signals.load_history(
        connection, [id_], needs.history, (now - timedelta(days=HISTORY_DAYS)).date()
    )
    happened = await events.load_events(connection, [id_], needs.events, now)
    since = today - timedelta(days=SCORE_DAYS)
    known = assemble(
        customer,
        reading.stored,
        cast("Sequence[Tally]", reading.tallies),
        now=now,
        catalogue=catalogue,
        scores={day: score for day, score in reading.scores.items() if since <= day < today},
        scorer=scorer,
        predictors=await find_predictors(connection, serving, catalogue),
        history=history.get(id_, {}),
        events=happened.get(id_, ()),
    )
    consent = {word: said.granted for word, said in reading.words.items()}
    return replace(known, facts=replace(known.facts, consent=consent, suppressed=reading.suppressed))


def assemble(
    customer: Customer,
    row: StoredSignals,
    tallies: Iterable[Tally],
    *,
    now: datetime,
    catalogue: Catalogue,
    scores: Mapping[date, int],
    history: Mapping[str, Sequence[tuple[date, Value]]],
    events: Sequence[Event],
    scorer: Scorer | None = None,
    predictors: Predictors = RULES_ONLY,
) -> Known:
    """What follows at `now` from what is stored of one customer; consent and suppression aren't looked at.

    `scores` are the health scores of earlier UTC days, `tallies` reach back `catalogue.tally_days`; `scorer` works out
    today's (None: the model that ships as default), `predictors` say how likely it is that the customer leaves.
    """
    passing = derived_names(catalogue)
    # What was derived at an earlier moment isn't a fact of this one.
    base = {name: value for name, value in row.values.items() if name not in passing}
    derived = derive(
        {name: value for name, value in base.items() if not isinstance(value, WrongType)},
        tallies,
        now=now,
        catalogue=catalogue,
        previous=scores,
        score=scorer,
        predictors=predictors,
    )
    values: dict[str, Value] = {**base, **derived.signals}
    ages_now = ages(values, now, catalogue)
    facts = Facts(
        customer=customer.external_id,
        now=now,
        signals=_with_profile(values, customer.profile, _profile_names(catalogue)),
        events=events,
        history=history,
        ages=ages_now,
        profile=customer.profile,
    )
    before = row.values
    changed = frozenset([name for name, value in values.items() if before.get(name) != value])
    changed |= {told for name, told in TOLD_AS.items() if name in changed}
    kept = {name: value for name, value in values.items() if name not in ages_now}
    return Known(
        customer, facts, StoredSignals(row.customer_id, kept, row.stamps), changed, derived, kept != before
    )


async def load_reachability(connection: Connection, known: Mapping[str, Known]) -> dict[str, Known]:
    """The same customers with consent and suppression in their facts."""
    if not known:
        return {}
    consents = await contact.load_consents(connection, list(known))
    suppressed = await suppressions.load_suppressions(
        connection, {id_: k.customer.profile for id_, k in known.items()}
    )
    return {
        id_: replace(
            one, facts=replace(one.facts, consent=consents.get(id_, {}), suppressed=suppressed.get(id_, {}))
        )
        for id_, one in known.items()
    }


@cache
def derived_names(catalogue: Catalogue) -> frozenset[str]:
    """Signals that follow from others at each moment anew."""
    return frozenset(
        name
        for name, signal in catalogue.signals.items()
        if signal.derive and not any(f.stored for f in signal.derive)
    )


@cache
def _profile_names(catalogue: Catalogue) -> tuple[str, ...]:
    """Signals whose value is the profile's."""
    return tuple(
        name
        for name, signal in catalogue.signals.items()
        if signal.personal or name in ("timezone", "locale")
    )


def _with_profile(
    values: Mapping[str, Value], profile: Mapping[str, object], names: Sequence[str]
) -> dict[str, Value]:
    """Signals with the personal ones of the catalogue added: conditions may ask whether those are there."""
    merged = dict(values)
    for name in names:
        value = profile.get(name)
        if isinstance(value, str) and value:
            merged[name] = value
    return merged
