"""A churn model from a table: as much shape as its events can carry, chosen by predicting what was held back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Floats, Integers, Numbers, Table, take
from scoring.churning.conjunctions import Conjunction, bin_table, grow
from scoring.churning.design import (
    Design,
    Encoding,
    add_pairs,
    add_rules,
    design_columns,
    encode_part,
    terms_of,
)
from scoring.churning.folds import SEED, grouped, stratified
from scoring.churning.inspection import Note, inspect
from scoring.churning.measures import log_losses
from scoring.churning.model import FORMAT, Calibration, ChurnModel, Training, log_odds
from scoring.churning.pairs import screen_pairs
from scoring.churning.parts import Part, make_part
from scoring.churning.solving import Solution, choose_penalties, sigmoid, solve

FEWEST_EVENTS = 10
# Harrell's advice of some ten to twenty events per parameter, applied to what a shape adds.
CURVES_FROM_EVENTS = 100
PAIRS_FROM_EVENTS = 300
RULES_FROM_EVENTS = 300
CALIBRATE_FROM_EVENTS = 100
PAIR_Z = 2.0
MOST_PAIRS = 20
MOST_PAIR_COLUMNS = 400
MOST_RULES = 20
# Shapes and penalties are chosen on so many rows, or on as many as hold a thousand events; all rows then fit.
CHOOSING_ROWS = 15_000
CHOOSING_EVENTS = 1_000
SCREENING_ROWS = 10_000
INNER_FOLDS = 3
# A more complicated shape must be better by so many standard errors of the difference.
WORTH_IT = {"anchor": 0.0, "lines": 0.0, "columns": 0.0, "pairs": 0.0, "rules": 1.0}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to be learned; `anchor` names a numeric column, such as a health score, that needs no proof."""

    label: str
    positive: str
    anchor: str | None = None
    rules: bool = True


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, and what its owner should know about the columns."""

    model: ChurnModel
    notes: tuple[Note, ...]


def check_events(outcome: Floats, label: str) -> None:
    """Raises InputError where there is too little to learn from: fewer than 10 events, or than 10 without."""
    events = int(outcome.sum())
    others = len(outcome) - events
    if min(events, others) < FEWEST_EVENTS:
        what = "the event" if events < others else "its absence"
        raise InputError(
            f"{label}: {min(events, others)} of {len(outcome)} rows have {what}; "
            f"at least {FEWEST_EVENTS} of each are needed.",
            remedy="Add rows, or lengthen the period in which the event is looked for.",
        )


def fit(
    table: Table,
    outcome: Floats,
    settings: Settings,
    *,
    groups: Integers | None = None,
    say: Say = lambda line: None,
) -> Fitted:
    """Learn the probability that `outcome` (0 or 1 per row) is 1; the same input gives the same model.

    `groups` (0… per row) stay together when shapes are compared. Raises InputError without both outcomes.
    """
    events = int(outcome.sum())
    if not 0 < events < len(outcome):
        raise InputError(f"{settings.label} is the same in every row: nothing can be learned.")
    names, notes = inspect(table, outcome)
    if settings.anchor is not None and settings.anchor not in names and settings.anchor in table:
        raise InputError(
            f"{settings.anchor} can't be the anchor: it has nothing to learn from, or is a leak."
        )
    table = {name: table[name] for name in names}
    for note in notes:
        say(f"{note.column} {note.message}" + ("; left out" if note.left_out else ""))
    chosen_rows = _choosing_rows(len(outcome), events)
    small, small_outcome = (
        (table, outcome) if chosen_rows is None else (take(table, chosen_rows), outcome[chosen_rows])
    )
    small_groups = (
        groups
        if groups is None or chosen_rows is None
        else np.unique(groups[chosen_rows], return_inverse=True)[1]
    )
    shapes = _shapes(settings, table, events)
    shape, calibration = _choose(small, small_outcome, shapes, settings, small_groups, say)
    say(f"fitting {shape} to {len(outcome):,} rows, {events:,} events")
    plan = _plan(small, small_outcome, shapes[: shapes.index(shape) + 1], settings)[shape]
    training = Training(len(outcome), events, fingerprint(table, outcome), shape)
    model = _finish(plan, table, outcome, settings, calibration, training, refit=chosen_rows is not None)
    return Fitted(model, tuple(notes))


def fingerprint(table: Table, outcome: Floats) -> str:
    """A hash of the data that was learned from: names, values, outcome, in order of rows."""
    digest = hashlib.sha256(np.ascontiguousarray(outcome).tobytes())
    for name in sorted(table):
        column = table[name]
        digest.update(f"\n{name}\n".encode())
        if isinstance(column, Numbers):
            digest.update((column.values + 0.0).tobytes())
        else:
            digest.update("\0".join(column.levels).encode())
            digest.update(column.codes.tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A shape worked out on some rows: parts, pairs, rules, and each block's penalty."""

    encodings: Sequence[Encoding]
    pairs: Sequence[tuple[int, int]]
    rules: Sequence[Conjunction]
    penalties: Floats
    blocks: Integers
    solution: Solution
    encoded: Sequence[Floats]


def _shapes(settings: Settings, table: Table, events: int) -> list[str]:
    """The shapes that so many events can carry, the plainest first."""
    shapes = ["nothing"]
    if not table:
        return shapes
    if settings.anchor in table:
        shapes.append("anchor")
    if events < CURVES_FROM_EVENTS:
        return [*shapes, "lines"]
    shapes.append("columns")
    if events >= PAIRS_FROM_EVENTS and len(table) > 1:
        shapes.append("pairs")
    if events >= RULES_FROM_EVENTS and settings.rules:
        shapes.append("rules")
    return shapes


def _choose(
    table: Table,
    outcome: Floats,
    shapes: Sequence[str],
    settings: Settings,
    groups: Integers | None,
    say: Say,
) -> tuple[str, Calibration]:
    """The shape that predicts held-back rows best by log loss, and what its held-back log-odds lack in calibration."""
    events = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if len(shapes) == 1 or events < 4:
        return shapes[0], Calibration()
    # Few events make one division of the rows a matter of luck.
    repeats = 1 if events >= CURVES_FROM_EVENTS else 4
    held: dict[str, Floats] = {shape: np.zeros((repeats, len(outcome))) for shape in shapes}
    predicted = np.zeros((repeats, len(outcome)), dtype=bool)
    for repeat in range(repeats):
        number = min(INNER_FOLDS if repeats == 1 else 5, events)
        seed = SEED + 1 + repeat
        folds = (
            stratified(outcome, number, seed) if groups is None else grouped(outcome, groups, number, seed)
        )
        for fold in folds:
            learned = outcome[fold.train]
            if not 0 < learned.sum() < len(learned):
                continue
            say(
                f"choosing among {', '.join(shapes)}: part {fold.number} of {len(folds)}"
                if repeats == 1
                else ""
            )
            part, rest = take(table, fold.train), take(table, fold.test)
            for shape, plan in _plan(part, learned, shapes, settings).items():
                model = _finish(plan, part, learned, settings, Calibration(), None, refit=False)
                held[shape][repeat, fold.test] = log_odds(model, rest)
            predicted[repeat, fold.test] = True
    every = np.tile(outcome, (repeats, 1))[predicted]
    if len(every) == 0:
        return shapes[0], Calibration()
    losses = {shape: log_losses(every, sigmoid(held[shape][predicted])) for shape in shapes}
    best = shapes[0]
    for shape in shapes[1:]:
        gain = losses[best] - losses[shape]
        error = float(gain.std()) / np.sqrt(len(gain) / repeats)
        if gain.mean() > WORTH_IT[shape] * error:
            best = shape
    say("held-back log loss: " + ", ".join(f"{shape} {losses[shape].mean():.4f}" for shape in shapes))
    if events < CALIBRATE_FROM_EVENTS or best == "nothing":
        return best, Calibration()
    line = solve(held[best][predicted][:, None], every, np.zeros(1))
    return best, Calibration(
        round(line.intercept, 6), round(float(np.clip(line.coefficients[0], 0.5, 1.5)), 6)
    )


def _plan(table: Table, outcome: Floats, shapes: Sequence[str], settings: Settings) -> dict[str, _Plan]:
    """Each of `shapes` worked out on these rows; they build on one another."""
    found: dict[str, _Plan] = {}
    curved = "columns" in shapes
    least = 0.01 if curved else 1.0
    if "nothing" in shapes:
        found["nothing"] = _solved(
            _Draft([], [], Design(np.empty((len(outcome), 0)), np.empty(0, np.int64), np.empty(0))),
            [],
            outcome,
        )
    if "anchor" in shapes and settings.anchor is not None:
        encodings = _encode([settings.anchor], table, curved=False)
        design = design_columns(encodings, table, least=least, anchor=settings.anchor)
        found["anchor"] = _solved(_Draft(encodings, [], design), [], outcome)
    if not {"lines", "columns"} & set(shapes):
        return found
    encodings = _encode(list(table), table, curved=curved)
    design = design_columns(encodings, table, least=least, anchor=settings.anchor)
    encoded = [encoding.encode(table) for encoding in encodings]
    plain = _solved(_Draft(encodings, encoded, design), [], outcome)
    found["columns" if curved else "lines"] = plain
    last = plain
    if "pairs" in shapes:
        pairs = _find_pairs(encoded, design, outcome, plain.solution)
        if pairs:
            design = add_pairs(design, encoded, pairs, least)
            last = _solved(_Draft(encodings, encoded, design, pairs), plain.penalties, outcome)
        found["pairs"] = last
    if "rules" in shapes:
        rules = _find_rules(table, outcome, design, last.solution)
        if rules:
            design = add_rules(design, table, rules)
            draft = _Draft(encodings, encoded, design, last.pairs, rules)
            last = _solved(draft, last.penalties, outcome, choose=False)
        found["rules"] = last
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    encodings: Sequence[Encoding]
    encoded: Sequence[Floats]
    design: Design
    pairs: Sequence[tuple[int, int]] = ()
    rules: Sequence[Conjunction] = ()


def _solved(draft: _Draft, known: Floats | Sequence[float], outcome: Floats, *, choose: bool = True) -> _Plan:
    """The draft fitted, its penalties chosen from those `known` for its first blocks on; with `choose` False these
    and the least penalties of the others are kept.
    """
    design = draft.design
    start = np.ones(len(design.floors))
    start[: len(known)] = known
    if choose:
        penalties, solution = choose_penalties(
            design.matrix, outcome, design.blocks, start, floor=design.floors
        )
    else:
        penalties = np.maximum(start, design.floors)
        solution = solve(design.matrix, outcome, penalties[design.blocks])
    return _Plan(draft.encodings, draft.pairs, draft.rules, penalties, design.blocks, solution, draft.encoded)


def _encode(names: Sequence[str], table: Table, *, curved: bool) -> list[Encoding]:
    parts: list[Part] = []
    for name in names:
        part = make_part(name, table[name], curved=curved)
        if part is not None:
            parts.append(part)
    return [encode_part(part, table) for part in parts]


def _find_pairs(
    encoded: Sequence[Floats], design: Design, outcome: Floats, solution: Solution
) -> list[tuple[int, int]]:
    rows = _spread_rows(len(outcome), SCREENING_ROWS)
    probability = sigmoid(solution.intercept + design.matrix[rows] @ solution.coefficients)
    # The line and the first bend of each curve are enough to notice by; what is noticed enters whole.
    narrow = [basis[rows][:, :2] if basis.shape[1] <= 4 else basis[rows] for basis in encoded]
    screened = screen_pairs(
        narrow, design.matrix[rows], outcome[rows] - probability, probability * (1.0 - probability)
    )
    found: list[tuple[int, int]] = []
    width = 0
    for pair in screened[:MOST_PAIRS]:
        added = encoded[pair.first].shape[1] * encoded[pair.second].shape[1]
        if pair.z > PAIR_Z and width + added <= MOST_PAIR_COLUMNS:
            found.append((pair.first, pair.second))
            width += added
    return found


def _find_rules(table: Table, outcome: Floats, design: Design, solution: Solution) -> list[Conjunction]:
    eta = solution.intercept + design.matrix @ solution.coefficients
    return grow(bin_table(table), outcome, eta, MOST_RULES)


def _finish(
    plan: _Plan,
    table: Table,
    outcome: Floats,
    settings: Settings,
    calibration: Calibration,
    training: Training | None,
    *,
    refit: bool,
) -> ChurnModel:
    """The plan as a model; `refit` if `table` isn't the one that the plan was worked out on."""
    solution, encoded, encodings = plan.solution, plan.encoded, plan.encodings
    if refit:
        solution, encoded = _refit(plan, table, outcome, settings)
    terms = terms_of(solution.coefficients, encodings, encoded, plan.pairs, plan.rules, table)
    return ChurnModel(
        format=FORMAT,
        label=settings.label,
        positive=settings.positive,
        intercept=round(solution.intercept, 8),
        calibration=calibration,
        effects=terms.effects,
        pairs=terms.pairs,
        rules=terms.rules,
        training=training or Training(len(outcome), int(outcome.sum()), "", ""),
    )


def _refit(
    plan: _Plan, table: Table, outcome: Floats, settings: Settings
) -> tuple[Solution, Sequence[Floats]]:
    """The same parts, pairs, rules and penalties, fitted to all rows."""
    encodings = plan.encodings
    encoded = [encoding.encode(table) for encoding in encodings]
    design = design_columns(encodings, table, least=0.0, anchor=settings.anchor)
    if plan.pairs:
        design = add_pairs(design, encoded, plan.pairs, 0.0)
    if plan.rules:
        design = add_rules(design, table, plan.rules)
    return solve(design.matrix, outcome, plan.penalties[plan.blocks], start=plan.solution), encoded


def _choosing_rows(rows: int, events: int) -> Integers | None:
    """The rows to choose shapes and penalties on; None for all of them."""
    wanted = max(CHOOSING_ROWS, CHOOSING_EVENTS * rows // max(1, min(events, rows - events)))
    return None if wanted >= rows else _spread_rows(rows, wanted)


def _spread_rows(rows: int, wanted: int) -> Integers:
    if rows <= wanted:
        return np.arange(rows)
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:wanted])
