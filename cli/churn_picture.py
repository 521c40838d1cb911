"""An evaluation of a churn model as a picture: are the probabilities right, and do they find churn early?"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from scoring.churning.evaluation import Evaluation
from scoring.churning.measures import CAPACITY, calibration_bins
from scoring.detection import share_of

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
_MODEL, _MUTED, _MARK = "#0072B2", "#8A8A8A", "#D55E00"


def draw(result: Evaluation, path: Path, *, title: str) -> None:
    """Write the picture to `path`, in the form that its ending names."""
    # Text stays text, and the same numbers give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast", "font.size": 9}):
        figure = Figure(figsize=(10, 5), layout="constrained")
        calibration, gains = figure.subplots(1, 2)
        _draw_calibration(calibration, result)
        _draw_gains(gains, result)
        overall = result.overall
        auc = "-" if overall.auc is None else f"{overall.auc:.3f}"
        figure.suptitle(
            f"{title}: {len(result.outcome):,} rows held back, {int(result.outcome.sum()):,} churned; AUC {auc}, "
            f"log loss {overall.log_loss:.3f}, accuracy {overall.accuracy:.3f} (majority {result.majority:.3f})",
            fontsize=11,
        )
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _draw_calibration(axes: Axes, result: Evaluation) -> None:
    """What was said against what happened, in bins of equal count, with 95 % intervals."""
    axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1, label="as said, so it happened")
    for said, happened, rows in calibration_bins(result.outcome, result.probability):
        share = share_of(round(happened * rows), rows)
        if share.low is None or share.high is None:
            continue
        reach = [[max(0.0, happened - share.low)], [max(0.0, share.high - happened)]]
        axes.errorbar(
            said, happened, yerr=reach, color=_MODEL, marker="o", markersize=4, capsize=2, linewidth=1
        )
    axes.set_xlabel("probability said (mean of a fifteenth of the rows)")
    axes.set_ylabel("share that churned, with 95 % interval")
    axes.set_title(f"calibration: error {result.overall.ece:.3f}", fontsize=10)
    _finish(axes)
    axes.legend(loc="upper left", frameon=False)


def _draw_gains(axes: Axes, result: Evaluation) -> None:
    """How much of all churn the rows with the highest risk hold."""
    rows = len(result.outcome)
    events = max(1.0, float(result.outcome.sum()))
    order = np.argsort(-result.probability, kind="stable")
    share = np.arange(rows + 1) / rows
    caught = np.concatenate([[0.0], np.cumsum(result.outcome[order])]) / events
    base = events / rows
    axes.plot([0, base, 1], [0, 1, 1], color=_MUTED, linewidth=1, label="perfect")
    axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1, label="by chance")
    axes.plot(share, caught, color=_MODEL, linewidth=2, label="model")
    recall = result.overall.recall_at_10
    if recall is not None:
        axes.plot([CAPACITY], [recall], color=_MARK, marker="o", linestyle="none")
        axes.annotate(
            f" {recall:.0%} of churn in {CAPACITY:.0%} of rows", (CAPACITY, recall), color=_MARK, va="top"
        )
    axes.set_xlabel("rows looked at, highest risk first")
    axes.set_ylabel("share of all churn found")
    axes.set_title("gains", fontsize=10)
    _finish(axes)
    axes.legend(loc="lower right", frameon=False)


def _finish(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
