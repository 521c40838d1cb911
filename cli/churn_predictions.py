"""Predictions row by row, with reasons whose written digits add up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cli.churn_table import read_features
from cli.csv_file import CsvFile
from scoring.churning.columns import Categories, Column
from scoring.churning.model import ChurnModel, contributions, strongest
from scoring.churning.parts import Curve, Levels, missing_of
from scoring.churning.solving import sigmoid

REASONS = 3
# Effects are written in millionths, and what is left over is what the others add: so the written digits add up.
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row: log-odds, base and effects in millionths; base + effects + other = log_odds."""

    name: str
    probability: float
    log_odds: int
    base: int
    reasons: tuple[tuple[str, int], ...]
    other: int


def predict_rows(
    model: ChurnModel, file: CsvFile, id_: str | None, say: Callable[[str], None]
) -> Iterator[Prediction]:
    """Every row of the file, in its order. Raises InputError for a missing column or a text among numbers."""
    for name in model.columns:
        file.place(name, "column, which the model needs,")
    numeric = {effect.part.column for effect in model.effects if isinstance(effect.part, Curve)}
    # A model of no column still says something about every row.
    names = model.columns or file.header[:1]
    table = read_features(file, names, numeric=numeric, as_text=set(names) - numeric)
    _tell_news(model, table, say)
    return _rows(model, table, file, id_)


def _rows(
    model: ChurnModel, table: dict[str, Column], file: CsvFile, id_: str | None
) -> Iterator[Prediction]:
    found = contributions(model, table)
    log_odds = model.base + found.sum(axis=1)
    probability = sigmoid(log_odds)
    chosen = strongest(found, REASONS)
    effects = np.rint(np.take_along_axis(found, chosen, axis=1) * _MILLION).astype(np.int64)
    totals = np.rint(log_odds * _MILLION).astype(np.int64)
    base = round(model.base * _MILLION)
    names = file.text(id_) if id_ is not None else [str(row + 1) for row in range(file.rows)]
    texts = {name: file.text(name) for name in model.columns}
    missing = {name: missing_of(table[name]) for name in model.columns}
    flags = {str(rule.conjunction): rule.conjunction.holds(table) for rule in model.rules}
    sources = model.sources
    for row in range(file.rows):
        reasons = []
        for place, effect in zip(chosen[row].tolist(), effects[row].tolist(), strict=True):
            source = sources[place]
            if place >= len(model.effects):
                told = source if flags[source][row] else f"not ({source})"
            else:
                told = f"{source} is missing" if missing[source][row] else f"{source} = {texts[source][row]}"
            reasons.append((told, effect))
        total = int(totals[row])
        other = total - base - sum(effect for _, effect in reasons)
        yield Prediction(names[row], float(probability[row]), total, base, tuple(reasons), other)


def csv_lines(rows: Iterator[Prediction], id_: str | None) -> Iterator[str]:
    """The header, then a line per row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = [id_ or "row", "probability", "log_odds", "base"]
    for rank in range(1, REASONS + 1):
        header += [f"reason_{rank}", f"effect_{rank}"]
    writer.writerow([*header, "other"])
    for row in rows:
        line = [row.name, f"{row.probability:.9g}", _millionths(row.log_odds), _millionths(row.base)]
        for rank in range(REASONS):
            told = row.reasons[rank] if rank < len(row.reasons) else None
            line += ["", _millionths(0)] if told is None else [told[0], _millionths(told[1])]
        writer.writerow([*line, _millionths(row.other)])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def json_lines(rows: Iterator[Prediction]) -> Iterator[str]:
    """An object per row."""
    for row in rows:
        told = {
            "id": row.name,
            "probability": float(f"{row.probability:.9g}"),
            "log_odds": row.log_odds / _MILLION,
            "base": row.base / _MILLION,
            "reasons": [{"reason": reason, "effect": effect / _MILLION} for reason, effect in row.reasons],
            "other": row.other / _MILLION,
        }
        yield json.dumps(told, ensure_ascii=False) + "\n"


def _millionths(value: int) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}{abs(value) // _MILLION}.{abs(value) % _MILLION:06d}"


def _tell_news(model: ChurnModel, table: dict[str, Column], say: Callable[[str], None]) -> None:
    """Say where the table has what the model never saw."""
    for effect in model.effects:
        part, column = effect.part, table[effect.part.column]
        if isinstance(part, Levels) and isinstance(column, Categories):
            known = {*part.levels, *part.silent}
            fresh = [code for code, level in enumerate(column.levels) if level not in known]
            count = int(np.isin(column.codes, fresh).sum())
            if count and not part.others:
                say(
                    f"{part.column}: {count:,} rows have a value that the model never saw; they count as average"
                )
