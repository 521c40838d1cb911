"""An evaluation of a churn model in words."""

from __future__ import annotations

from collections.abc import Iterator

from scoring.churning.evaluation import Evaluation
from scoring.churning.measures import Measures

_HEADER = (
    f"{'':10}{'rows':>9}{'churned':>9}{'AUC':>8}{'log loss':>10}{'Brier':>8}{'ECE':>8}"
    f"{'accuracy':>10}{'majority':>10}{'recall@10%':>12}{'lift@10%':>10}"
)


def describe(result: Evaluation) -> Iterator[str]:
    """The lines to print: a table of folds, then what accuracy is worth."""
    yield _HEADER
    for fold in result.folds:
        yield _line(f"fold {fold.number}", fold.rows, fold.events, fold.majority, fold.measures)
    overall = result.overall
    yield _line("overall", len(result.outcome), int(result.outcome.sum()), result.majority, overall)
    yield ""
    gain = 100 * (overall.accuracy - result.majority)
    yield (
        f"Always saying the more frequent outcome is right in {result.majority:.1%} of rows; the model in "
        f"{overall.accuracy:.1%}, {abs(gain):.1f} points {'more' if gain >= 0 else 'less'}."
    )
    if overall.recall_at_10 is not None and overall.lift_at_10 is not None:
        yield (
            f"The tenth of rows with the highest risk holds {overall.recall_at_10:.1%} of all churn, "
            f"{overall.lift_at_10:.1f} times what chance would give."
        )


def _line(name: str, rows: int, events: int, majority: float, found: Measures) -> str:
    return (
        f"{name:10}{rows:>9,}{events:>9,}{_figure(found.auc, 4):>8}{found.log_loss:>10.4f}{found.brier:>8.4f}"
        f"{found.ece:>8.4f}{found.accuracy:>10.4f}{majority:>10.4f}{_figure(found.recall_at_10, 4):>12}"
        f"{_figure(found.lift_at_10, 2):>10}"
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
