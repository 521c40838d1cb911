"""How well a churn model learned from the live database would predict: the trial that training makes, no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from activities.training import ModelTrainingBooks, tell_trial
from activities.training_data import TrainingData
from cli.training_telling import describe_read, describe_trial
from schemas.catalogue import load_catalogue
from schemas.errors import InputError
from schemas.training_run import TrainingCall, TrainingRead
from scoring.churning.evaluation import Evaluation, FoldResult
from scoring.churning.measures import majority, measure
from scoring.hazard.outlook import HORIZONS
from scoring.trial import Trial, judge_rows
from store.database import Database


@dataclass(frozen=True, slots=True)
class LiveEvaluation:
    """What was read, every forecaster's figures, and the model's own predictions by month at the longest horizon."""

    read: TrainingRead
    metrics: dict[str, Any]
    evaluation: Evaluation
    evaluation_days: int


def evaluate_live(url: str, say: Callable[[str], None]) -> LiveEvaluation:
    """The trial on the live database. Raises InputError where too few customers left for one."""
    return asyncio.run(_evaluate(url, say))


async def _evaluate(url: str, say: Callable[[str], None]) -> LiveEvaluation:
    async with Database(url, connections=2) as database:
        books = ModelTrainingBooks(database, load_catalogue(), say=say)
        read = await books.read(TrainingCall())
        if read.refused is not None:
            raise InputError(read.refused, remedy="Let history gather, or load it.")
        data = await books.load(read.as_of, say)
        trial = await asyncio.to_thread(books.evaluate, data, say)
    if trial is None:
        raise InputError("Too few customers left to test anything.", remedy="Let history gather.")
    evaluation = _by_month(data, trial)
    return LiveEvaluation(read, tell_trial(data, trial), evaluation, trial.folds.horizon_days)


def print_live(found: LiveEvaluation, form: str) -> None:
    """As text or as one JSON object."""
    if form == "json":
        told = {
            "read": found.read.model_dump(mode="json"),
            "horizon_days": found.evaluation_days,
            **found.evaluation.to_json(),
            **found.metrics,
        }
        click.echo(json.dumps(told))
        return
    for line in (*describe_read(found.read), "", *describe_trial(found.metrics)):
        click.echo(line)


def _by_month(data: TrainingData, trial: Trial) -> Evaluation:
    days = trial.folds.horizon_days
    judged = judge_rows(data.snapshots, trial.rows, days)
    if not len(judged.at):
        raise InputError("No row can be judged: a playbook was treating everybody.", remedy="Hold some out.")
    probability = trial.said["model"][judged.at, HORIZONS.index(days)]
    month = trial.month[judged.at]
    folds = []
    for number in np.unique(month):
        mine = month == number
        outcome = judged.outcome[mine]
        folds.append(
            FoldResult(
                number=int(number),
                learned_rows=trial.learned_rows[int(number) - 1],
                rows=len(outcome),
                events=int(outcome.sum()),
                majority=majority(outcome),
                measures=measure(outcome, probability[mine]),
            )
        )
    return Evaluation(
        folds=tuple(folds),
        overall=measure(judged.outcome, probability),
        majority=majority(judged.outcome),
        predicted=trial.rows[judged.at],
        outcome=judged.outcome,
        probability=probability,
    )
