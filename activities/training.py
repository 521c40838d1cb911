"""Training the churn models on the customers' own history: read, fit, judge, decide.

Rows stay inside a step: what passes between steps are versions, counts and words. A step that finds the rows of the
step before still in memory uses them, and else reads them again: the same rows, as of the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Literal

# Small matrices gain nothing from more threads, and one thread adds up in one order: the same bytes each time. It must
# be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from temporalio import activity

from activities.training_data import MOST_ROWS, TrainingData, read_training
from schemas.catalogue import Catalogue
from schemas.errors import HoldfastError
from schemas.training_run import (
    KIND_NAMES,
    MODEL_KINDS,
    DecideCall,
    Decision,
    FitCall,
    Fitted,
    JudgeCall,
    ModelKind,
    TrainingCall,
    TrainingRead,
    TrainingResult,
)
from scoring.features import allow_list_digest, learnable
from scoring.hazard import HazardModel, HazardSettings, read_hazard, version_of, write_hazard
from scoring.hazard.outlook import HORIZONS
from scoring.learners import CRAFT, has_health, learn, learner_of, learners
from scoring.succession import Serving, Verdict, judge_challenger, judge_newcomer, judged_metrics
from scoring.training import FEWEST_EVENTS, count_events, make_folds, treated_within
from scoring.trial import MAPPED_THUMB, THUMB, Report, Trial, judge_rows, reports, run_trial
from store import churn_models
from store.database import Database

HEARTBEAT_SECONDS = 2.0
Say = Callable[[str], None]


class Stopped(Exception):  # noqa: N818 - it says what happened, and it is no error
    """The step was cancelled while it computed."""


class ModelTrainingBooks:
    """The steps of training; `say` hears how far they are."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        *,
        most_rows: int = MOST_ROWS,
        settings: HazardSettings | None = None,
        say: Say = lambda line: None,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._digest = allow_list_digest(catalogue)
        self._most_rows = most_rows
        self._settings = settings or HazardSettings()
        self._say = say
        self._kept: TrainingData | None = None

    @activity.defn(name="Training.read")
    async def read(self, call: TrainingCall) -> TrainingRead:
        """What there is to learn from, and whether that is enough."""
        async with self._at_work() as say:
            as_of = call.as_of
            if as_of is None:
                async with self._database.transaction() as connection:
                    as_of = await self._database.clock.read(connection)
            data = await self.load(as_of.astimezone(UTC), say)
        snapshots = data.snapshots
        events = count_events(snapshots)
        refused = None
        if not data.days or not len(snapshots.day):
            refused = (
                "There is no history to learn from yet: daily signals of customers are needed on a Monday of the "
                "calendar, with a week after it."
            )
        elif events < FEWEST_EVENTS:
            refused = (
                f"{events} of {data.customers:,} customers left within 13 weeks of a day on record; "
                f"a model is learned from {FEWEST_EVENTS} on. Nothing has changed."
            )
        return TrainingRead(
            as_of=as_of,
            rows=len(snapshots.day),
            customers=data.customers,
            events=events,
            days=len(np.unique(snapshots.day)),
            of_rows=data.of_rows,
            held_out_customers=len(np.unique(snapshots.customer[snapshots.held_out])),
            treated_rows=int(treated_within(snapshots, HORIZONS[-1]).sum()),
            refused=refused,
        )

    @activity.defn(name="Training.fit")
    async def fit(self, call: FitCall) -> Fitted:
        """Fit a challenger to everything that is known, and keep it."""
        async with self._at_work() as say:
            data = await self.load(call.as_of, say)
            if call.kind == "health" and not has_health(data.snapshots):
                return Fitted(kind=call.kind, refused="There is no health score in the history.")
            try:
                model = await asyncio.to_thread(
                    learn, call.kind, data.snapshots, self._digest, self._settings, say
                )
            except HoldfastError as error:
                return Fitted(kind=call.kind, refused=error.message)
            written = write_hazard(model)
            version = version_of(model)
            say(f"{KIND_NAMES[call.kind]}: version {version}, {len(written):,} bytes")
            if not call.dry_run:
                await self._save(call.kind, model, call.as_of)
        return Fitted(kind=call.kind, version=version, bytes=len(written))

    @activity.defn(name="Training.judge")
    async def judge(self, call: JudgeCall) -> tuple[Decision, ...]:
        """Try the ways of learning on rows held back, and decide of each kind."""
        async with self._at_work() as say:
            data = await self.load(call.as_of, say)
            async with self._database.transaction() as connection:
                champions = await churn_models.load_champions(connection)
            tried = await asyncio.to_thread(self.evaluate, data, say)
            decisions = []
            for fitted in call.fitted:
                champion = champions.get(fitted.kind)
                if fitted.refused is not None or tried is None:
                    reason = fitted.refused or "Too few customers left to test anything."
                    outcome: Literal["kept", "refused"] = "kept" if champion else "refused"
                    decisions.append(_decision(fitted, Verdict(outcome, reason), {}))
                    continue
                verdict = await asyncio.to_thread(self._judge, fitted.kind, data, tried, champion, say)
                metrics = verdict.to_json() | tell_trial(data, tried)
                decision = _decision(fitted, verdict, metrics)
                if verdict.recalibrated is not None:
                    anew = verdict.recalibrated
                    decision = decision.model_copy(update={"version": version_of(anew)})
                    if not call.dry_run:
                        await self._save(fitted.kind, anew, call.as_of)
                decisions.append(decision)
            self._kept = None
        return tuple(decisions)

    @activity.defn(name="Training.decide")
    async def decide(self, call: DecideCall) -> bool:
        """Carry out a decision; returns whether another model serves now."""
        decision = call.decision
        promoted = decision.outcome in ("promoted", "recalibrated")
        changed = False
        async with self._database.transaction() as connection:
            if not promoted or (decision.challenger and decision.challenger != decision.version):
                await churn_models.refuse(
                    connection,
                    decision.kind,
                    decision.challenger,
                    reason=decision.reason,
                    metrics=decision.metrics,
                )
            if promoted:
                changed = await churn_models.promote(
                    connection, decision.kind, decision.version, now=call.as_of, approved_by=call.by,
                    reason=decision.reason, metrics=decision.metrics,
                )  # fmt: skip
        return changed

    async def train(self, call: TrainingCall) -> TrainingResult:
        """All steps in turn, in this process."""
        read = await self.read(call)
        if read.refused is not None:
            return TrainingResult(read=read)
        fitted = tuple(
            [
                await self.fit(FitCall(kind=kind, as_of=read.as_of, dry_run=call.dry_run))
                for kind in MODEL_KINDS
            ]
        )
        decisions = await self.judge(JudgeCall(as_of=read.as_of, fitted=fitted, dry_run=call.dry_run))
        if not call.dry_run:
            for decision in decisions:
                await self.decide(DecideCall(decision=decision, as_of=read.as_of, by=call.by))
        return TrainingResult(read=read, decisions=decisions)

    async def load(self, as_of: datetime, say: Say) -> TrainingData:
        """What was known at `as_of`, from memory where it was read last."""
        kept = self._kept
        if kept is None or kept.as_of != as_of:
            kept = self._kept = await read_training(
                self._database, self._catalogue, as_of=as_of, most_rows=self._most_rows, say=say
            )
        return kept

    def evaluate(self, data: TrainingData, say: Say) -> Trial | None:
        """Every forecaster on rows held back; None where too few customers left to hold any back."""
        folds = make_folds(data.snapshots, data.as_of_day)
        if folds is None:
            return None
        return run_trial(data.snapshots, folds, learners(data.snapshots, self._digest, self._settings), say)

    def _judge(
        self,
        kind: ModelKind,
        data: TrainingData,
        trial: Trial,
        champion: churn_models.Champion | None,
        say: Say,
    ) -> Verdict[HazardModel]:
        if champion is None:
            if kind == "health":
                return judge_newcomer(data.snapshots, trial, kind, THUMB, "the rule of thumb", serves=True)
            if "health" in trial.said:
                return judge_newcomer(data.snapshots, trial, kind, "health", "the recalibrated health score")
            return judge_newcomer(data.snapshots, trial, kind, MAPPED_THUMB, "the calibrated rule of thumb")
        model = read_hazard(champion.artifact.encode(), champion.version, allowed=self.allowed)
        serving = Serving(model, ordinal_of(champion.trained_at))
        learner = learner_of(kind, self._digest, self._settings)
        return judge_challenger(data.snapshots, data.as_of_day, learner, serving, CRAFT, say)

    @property
    def allowed(self) -> frozenset[str]:
        """The names of the signals that a model may have learned from."""
        return frozenset(signal.name for signal in learnable(self._catalogue))

    async def _save(self, kind: ModelKind, model: HazardModel, trained_at: datetime) -> None:
        async with self._database.transaction() as connection:
            await churn_models.save_model(
                connection, kind, version_of(model), write_hazard(model).decode(), trained_at=trained_at
            )

    @contextlib.asynccontextmanager
    async def _at_work(self) -> AsyncIterator[Say]:
        """Hear how far a step is, from whatever thread; in an activity, tell Temporal every other second."""
        line = ""
        stopped = False

        def say(told: str) -> None:
            nonlocal line
            if stopped:
                raise Stopped
            if told:
                line = told
                self._say(told)

        async def beat() -> None:
            while True:
                activity.heartbeat(line)
                await asyncio.sleep(HEARTBEAT_SECONDS)

        beating = asyncio.create_task(beat()) if activity.in_activity() else None
        try:
            yield say
        finally:
            # What still computes in a thread ends at its next word.
            stopped = True
            if beating is not None:
                beating.cancel()


def ordinal_of(moment: datetime) -> float:
    """A moment as an ordinal day with its fraction."""
    moment = moment.astimezone(UTC)
    return moment.toordinal() + (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86_400


def tell_trial(data: TrainingData, trial: Trial) -> dict[str, Any]:
    """The figures of a trial: each forecaster at each horizon, and how it was made."""
    judged = {days: judge_rows(data.snapshots, trial.rows, days) for days in HORIZONS}
    found: list[Report] = reports(data.snapshots, trial)
    return {
        "trial": judged_metrics(trial, judged),
        "horizon_days": trial.folds.horizon_days,
        "reports": [one.to_json() for one in found],
    }


def _decision(fitted: Fitted, verdict: Verdict[HazardModel], metrics: dict[str, Any]) -> Decision:
    return Decision(
        kind=fitted.kind,
        version=fitted.version,
        challenger=fitted.version,
        outcome=verdict.outcome,
        reason=verdict.reason,
        metrics=metrics,
    )
