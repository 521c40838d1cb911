"""A report on the churn model as a picture: calibration, observed over expected by week, gains, churn per band."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from loops.backtest.picture import check_picture
from scoring.model_report import ModelReport, Quality
from scoring.observed_expected import ALARM_Z, EARLY_DAYS

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
_MODEL, _MUTED, _MARK = "#0072B2", "#8A8A8A", "#D55E00"
_BANDS = {"healthy": "#009E73", "at_risk": "#E69F00", "critical": "#D55E00", "unknown": "#8A8A8A"}


def draw(report: ModelReport, path: Path) -> None:
    """Write the picture to `path`, in the form that its ending names. Raises InputError."""
    check_picture(path)
    # Text stays text, and the same numbers give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast", "font.size": 9}):
        figure = Figure(figsize=(11, 8), layout="constrained")
        axes = figure.subplots(2, 2)
        quality = report.matured.untreated if report.matured else None
        _draw_calibration(axes[0, 0], quality, report.horizon_days)
        _draw_weeks(axes[0, 1], report)
        _draw_gains(axes[1, 0], quality)
        _draw_bands(axes[1, 1], report)
        for one in axes.flat:
            for side in ("top", "right"):
                one.spines[side].set_visible(False)
        told = f"{report.day}: {report.status}, drift {report.drift}"
        if quality is not None:
            auc = "-" if quality.auc is None else f"{quality.auc:.3f}"
            told += f"; AUC {auc}, accuracy {quality.accuracy:.1%} (majority {quality.majority_rate:.1%})"
        figure.suptitle(told, fontsize=11)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _draw_calibration(axes: Axes, quality: Quality | None, horizon_days: int) -> None:
    axes.set_title(f"said and seen within {horizon_days} days, by tenth of the untreated", fontsize=10)
    if quality is None:
        _say_nothing(axes, "no prediction is old enough")
        return
    reach = max(0.05, 1.05 * max(max(one.said or 0.0, one.high) for one in quality.deciles))
    axes.plot(
        [0, reach], [0, reach], color=_MUTED, linestyle="--", linewidth=1, label="as said, so it happened"
    )
    for one in quality.deciles:
        lengths = [[max(0.0, one.rate - one.low)], [max(0.0, one.high - one.rate)]]
        axes.errorbar(
            one.said or 0.0, one.rate, yerr=lengths, color=_MODEL, marker="o", markersize=4, capsize=2, linewidth=1
        )  # fmt: skip
    axes.set_xlim(0, reach)
    axes.set_ylim(0, reach)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("probability said")
    axes.set_ylabel("share that left, with 95 % interval")
    axes.legend(loc="upper left", frameon=False)


def _draw_weeks(axes: Axes, report: ModelReport) -> None:
    axes.set_title(f"observed over expected within {EARLY_DAYS} days, untreated", fontsize=10)
    weeks = [week for week in report.early.weeks if week.untreated.ratio is not None]
    if not weeks:
        _say_nothing(axes, f"no prediction is {EARLY_DAYS + 1} days old")
        return
    # matplotlib takes dates, which its types don't say.
    days: Any = [week.day for week in weeks]
    ratios = [week.untreated.ratio or 0.0 for week in weeks]
    spreads = [ALARM_Z * (week.untreated.spread or 0.0) for week in weeks]
    axes.fill_between(
        days, [max(0.0, 1 - one) for one in spreads], [1 + one for one in spreads], color=_MODEL, alpha=0.15,
        linewidth=0, label=f"within {ALARM_Z:g} standard deviations",
    )  # fmt: skip
    axes.axhline(1, color=_MUTED, linestyle="--", linewidth=1)
    axes.plot(days, ratios, color=_MODEL, marker="o", markersize=4, linewidth=1)
    for day, week, ratio in zip(days, weeks, ratios, strict=True):
        if week.untreated.z is not None and abs(week.untreated.z) > ALARM_Z:
            axes.plot([day], [ratio], color=_MARK, marker="o", markersize=6, linestyle="none")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel("week of the prediction")
    axes.legend(loc="upper left", frameon=False)


def _draw_gains(axes: Axes, quality: Quality | None) -> None:
    axes.set_title("gains", fontsize=10)
    if quality is None or not quality.gains:
        _say_nothing(axes, "nobody is known to have left")
        return
    axes.plot([0, quality.base_rate, 1], [0, 1, 1], color=_MUTED, linewidth=1, label="perfect")
    axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1, label="by chance")
    axes.plot(*zip(*quality.gains, strict=True), color=_MODEL, linewidth=2, label="as predicted")
    if quality.recall is not None:
        axes.plot([quality.capacity], [quality.recall], color=_MARK, marker="o", linestyle="none")
        told = f" {quality.recall:.0%} of those who left in {quality.capacity:.0%} of rows"
        axes.annotate(told, (quality.capacity, quality.recall), color=_MARK, va="top")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("looked after, highest risk first")
    axes.set_ylabel("share of all who left")
    axes.legend(loc="lower right", frameon=False)


def _draw_bands(axes: Axes, report: ModelReport) -> None:
    axes.set_title("health bands", fontsize=10)
    found = report.health.untreated if report.health else None
    bands = [band for band in found["bands"] if band["rows"]] if found else []
    if not found or not bands:
        _say_nothing(axes, "no health score is old enough")
        return
    for place, band in enumerate(bands):
        left = band["left"]
        axes.bar(place, left["rate"], width=0.7, color=_BANDS[band["name"]])
        lengths = [[max(0.0, left["rate"] - left["low"])], [max(0.0, left["high"] - left["rate"])]]
        axes.errorbar(place, left["rate"], yerr=lengths, color="black", capsize=3, linewidth=1)
    axes.axhline(found["base_rate"], color=_MUTED, linestyle="--", linewidth=1)
    axes.set_xticks(
        range(len(bands)), [f"{band['name'].replace('_', ' ')}\n{band['rows']:,} rows" for band in bands]
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel(f"left within {report.horizon_days} days, with 95 % interval")


def _say_nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", color=_MUTED, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
