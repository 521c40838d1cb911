"""What `holdfast churn` learns from: a table read, checked and taken apart, and the folds to judge it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.errors import InputError

if TYPE_CHECKING:
    from cli.csv_file import CsvFile
    from scoring.churning.columns import Column, Floats, Integers


@dataclass(frozen=True, slots=True)
class LearningTask:
    """A table to learn from, and what to learn."""

    table: dict[str, Column]
    outcome: Floats
    settings: Any
    groups: Integers | None
    times: Floats | None
    path: Path


def read_task(
    data: Path, label: str, positive: str | None, id_: str | None, group: str | None, time_: str | None,
    drop: tuple[tuple[str, ...], tuple[str, ...]], text: tuple[str, ...], anchor: str | None, rules: bool,
    say: Callable[[str], None],
) -> LearningTask:  # fmt: skip
    """The table, its outcome and what stands aside. Raises InputError or UsageError for what can't be learned from."""
    from cli.churn_table import check_ids, read_features, read_groups, read_outcome, read_times
    from cli.csv_file import read_csv
    from scoring.churning.columns import Numbers
    from scoring.churning.fitting import Settings, check_events

    if drop[1] and not drop[0]:
        raise click.UsageError(f"Got unexpected argument {drop[1][0]!r}.")
    file = read_csv(data)
    say(f"{data}: {file.rows:,} rows, {len(file.header)} columns")
    outcome, value = read_outcome(file, label, positive)
    dropped = _names(file, (*drop[0], *drop[1]))
    for name in (*text, *([anchor] if anchor else [])):
        file.place(name)
    if id_ is not None:
        file.place(id_, "column for the id")
        if id_ != group:
            check_ids(file, id_, time_)
    groups = read_groups(file, group) if group else None
    times = read_times(file, time_) if time_ else None
    aside = {label, id_, group, time_, *dropped}
    names = [name for name in file.header if name not in aside]
    if not names:
        raise InputError(f"{data} has no column left to learn from.", remedy="Drop fewer columns.")
    table = read_features(file, names, as_text=text)
    if anchor is not None and not isinstance(table.get(anchor), Numbers):
        raise InputError(f"{data}: the anchor {anchor} is no numeric column to learn from.")
    check_events(outcome, label)
    return LearningTask(table, outcome, Settings(label, value, anchor, rules), groups, times, data)


def _names(file: CsvFile, given: tuple[str, ...]) -> set[str]:
    """The columns that --drop names: each alone, or several with commas between them."""
    found: set[str] = set()
    for one in given:
        found |= {one} if one in file.header else {part.strip() for part in one.split(",")}
    for name in sorted(found):
        file.place(name)
    return found


def choose_folds(task: LearningTask, folds: int, gap: float) -> Any:
    """Folds forward in time, by group, or of equal shares of churn. Raises InputError where there can't be so many."""
    from scoring.churning.folds import forward, grouped, stratified

    if task.times is not None:
        found = forward(task.outcome, task.times, folds, gap=gap, groups=task.groups)
        if not found:
            raise InputError(f"{task.path}: all rows are of one time.", remedy="Leave --time out.")
        return found
    if task.groups is not None:
        there = int(task.groups.max()) + 1
        if there < folds:
            raise InputError(
                f"{task.path}: {there} groups can't make {folds} folds.", remedy="Ask for fewer --folds."
            )
        return grouped(task.outcome, task.groups, folds)
    fewest = int(min(task.outcome.sum(), len(task.outcome) - task.outcome.sum()))
    if folds > fewest:
        raise InputError(
            f"{task.path}: {fewest} rows of one outcome can't be dealt to {folds} folds.",
            remedy="Ask for fewer --folds.",
        )
    return stratified(task.outcome, folds)
