"""What a health model's bands were worth, as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from loops.backtest.bands import BandResult
from loops.backtest.picture import check_picture
from scoring.separation import Group

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
_COLOURS = {"healthy": "#009E73", "at_risk": "#E69F00", "critical": "#D55E00", "unknown": "#8A8A8A"}
_SCORES = "#0072B2"


def draw_bands(result: BandResult, path: Path) -> None:
    """Write the picture to `path`, in the form that its ending names. Raises InputError."""
    check_picture(path)
    found = result.separation
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast", "font.size": 9}):
        figure = Figure(figsize=(10, 5), layout="constrained")
        bands, scores = figure.subplots(1, 2, width_ratios=(2, 3), sharey=True)
        for place, group in enumerate(found.bands):
            _bar(bands, place, group, _COLOURS[group.name])
        bands.set_xticks(
            range(len(found.bands)),
            [f"{one.name.replace('_', ' ')}\n{one.rows} scores" for one in found.bands],
        )
        bands.set_ylabel(f"left within {result.horizon_days:g} days; 95 % intervals")
        for group in found.groups:
            assert group.first is not None
            _bar(scores, group.first / 10, group, _SCORES)
        scores.set_xticks(
            [(one.first or 0) / 10 for one in found.groups],
            [f"{one.name}\n{one.rows}" for one in found.groups],
        )
        scores.set_xlabel("score, and how many scores")
        for axes in (bands, scores):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_ylim(bottom=0)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            if found.base_rate is not None:
                axes.axhline(found.base_rate, color="#333333", linestyle="--", linewidth=1)
        auc = "can't be told" if found.auc is None else f"{found.auc:.3f}"
        told = f"{result.model}: AUC {auc}"
        if found.accuracy is not None and found.majority_rate is not None:
            told += f", accuracy {found.accuracy:.1%} beside the majority's {found.majority_rate:.1%}"
        everybody = "" if found.base_rate is None else f"; dashed: all of them, {found.base_rate:.1%}"
        period = f"{result.days[0]} to {result.days[-1]}, {found.customers} customers"
        figure.suptitle(f"{told}\n{period}{everybody}", fontsize=11)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _bar(axes: Axes, place: float, group: Group, colour: str) -> None:
    left = group.left
    if left.rate is None or left.low is None or left.high is None:
        return
    axes.bar(place, left.rate, width=0.7, color=colour)
    reach = [[max(0.0, left.rate - left.low)], [max(0.0, left.high - left.rate)]]
    axes.errorbar(place, left.rate, yerr=reach, color="black", capsize=3, linewidth=1)
