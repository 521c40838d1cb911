"""The training of churn models in words: what was read, what was decided and why, and the figures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schemas.training_run import KIND_NAMES, TrainingRead, TrainingResult

if TYPE_CHECKING:
    from store.churn_models import StoredModel

_FORECASTERS = {
    "model": "churn model",
    "health": "recalibrated health score",
    "mapped_rule_of_thumb": "rule of thumb, calibrated",
    "rule_of_thumb": "rule of thumb, as it serves",
    "base_rate": "everybody alike",
}
_HEADER = (
    f"{'':28}{'rows':>8}{'left':>7}{'AUC':>8}{'log loss':>10}{'Brier':>8}{'ECE':>8}{'accuracy':>10}{'majority':>10}"
    f"{'recall@10%':>12}{'lift@10%':>10}{'O/E':>7}"
)


def describe_training(result: TrainingResult, *, dry_run: bool) -> Iterator[str]:
    """The lines to print after a training."""
    yield from describe_read(result.read)
    if result.read.refused is not None:
        yield result.read.refused
        return
    metrics = next((one.metrics for one in result.decisions if one.metrics), None)
    if metrics is not None:
        yield ""
        yield from describe_trial(metrics)
    for decision in result.decisions:
        yield ""
        version = f" {decision.version}" if decision.version else ""
        yield f"{KIND_NAMES[decision.kind]}{version}: {decision.outcome}"
        yield f"  {decision.reason}"
    if dry_run:
        yield ""
        yield "A dry run: nothing was kept and nothing has changed."


def describe_read(read: TrainingRead) -> Iterator[str]:
    """What there was to learn from."""
    drawn = f" (drawn of at most {read.of_rows:,})" if read.rows < read.of_rows // 2 else ""
    yield (
        f"As of {read.as_of:%Y-%m-%d %H:%M} UTC: {read.rows:,} rows{drawn} of {read.customers:,} customers on "
        f"{read.days} Mondays; {read.events:,} customers left."
    )
    yield (
        f"Held out for good: {read.held_out_customers:,} customers. In {read.treated_rows:,} rows a playbook was "
        "treating the customer within 90 days."
    )


def describe_trial(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Every forecaster beside the others, by horizon, and how they were tried."""
    trial = metrics["trial"]
    how = (
        f"the {trial['months']} newest months that can be judged, each predicted from what was known before it"
        if trial["forward"]
        else "customers held back, of all months: the history is too short, or too few left, to test forward in time"
    )
    yield f"Tested on {how}."
    for days in sorted({one["days"] for one in metrics["reports"]}):
        left_out = trial["treated_left_out"].get(str(days), 0)
        held_out = trial["held_out_rows"].get(str(days), 0)
        yield ""
        yield f"within {days} days ({left_out:,} treated rows left out, {held_out:,} held-out rows in)"
        yield _HEADER
        for one in metrics["reports"]:
            if one["days"] == days:
                yield _line(one)


def describe_models(models: Sequence[StoredModel]) -> Iterator[str]:
    """One line per model, and why it is where it is."""
    if not models:
        yield "No model was trained yet."
    for one in models:
        by = f", approved by {one.approved_by}" if one.approved_by else ""
        yield f"{one.kind:7}{one.version}  {one.state:11}trained {one.trained_at:%Y-%m-%d %H:%M}{by}"
        if one.reason:
            yield f"       {one.reason}"


def _line(one: Mapping[str, Any]) -> str:
    name = _FORECASTERS.get(one["forecaster"], one["forecaster"])
    return (
        f"{name:28}{one['rows']:>8,}{one['events']:>7,}{_figure(one['auc'], 4):>8}{one['log_loss']:>10.4f}"
        f"{one['brier']:>8.4f}{one['ece']:>8.4f}{one['accuracy']:>10.4f}{one['majority']:>10.4f}"
        f"{_figure(one['recall_at_10'], 4):>12}{_figure(one['lift_at_10'], 2):>10}"
        f"{one['observed_over_expected']['value']:>7.2f}"
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
