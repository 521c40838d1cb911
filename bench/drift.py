"""How soon a world that changes is noticed, and how often one that doesn't is taken for one that does.

`python -m bench.drift [--runs 40] [--accounts 6000] [--json FILE]`. Each world has its accounts, who use more or less,
open tickets, renew and leave; who left is replaced. A logit of leaving within 28 days is fitted on the first year, its
predictions are held against outcomes week by week as `scoring.observed_expected` does. In half of the worlds leaving
becomes more frequent in week 60, by little or by much; in the others nothing happens. The population stability index of
the scores stands beside it. All worlds are drawn from seeds: the same figures each time.
"""

from __future__ import annotations

import os

# Before numpy is imported: one processor, as a batch process has it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scoring.churning.columns import Floats
from scoring.churning.solving import sigmoid, solve
from scoring.detection import share_of
from scoring.observed_expected import EARLY_DAYS, Ratio, compare, find_drift, stability_index

TRAINED, CHANGES, WATCHED = 52, 60, 52
EARLY_WEEKS = EARLY_DAYS // 7
# How much more the log-odds of leaving become, and how much less use protects, when the world changes.
SHIFTS, WEAKER = {"slight": 0.35, "strong": 0.6}, 0.25
STABILITY_LIMITS = (0.10, 0.25)


@dataclass(frozen=True, slots=True)
class World:
    """What happened: `features` of shape (weeks, accounts, columns), `left` (weeks, accounts): in that week."""

    features: Floats
    left: Floats

    def outcome(self, week: int) -> Floats:
        """Who of those there at the beginning of a week left within 28 days."""
        gone: Floats = self.left[week : week + EARLY_WEEKS].max(axis=0)
        return gone


def make_world(seed: int, accounts: int, *, shift: float = 0.0) -> World:
    """Accounts over the weeks, whose log-odds of leaving rise by `shift` (0: nothing changes).

    A place whose account left is taken by a new one in the week after.
    """
    random = np.random.default_rng(seed)
    weeks = CHANGES + WATCHED + EARLY_WEEKS
    level = random.normal(0, 0.8, accounts)
    use = level + random.normal(0, 0.5, accounts)
    tickets = np.abs(random.normal(0, 0.6, accounts))
    tenure = random.integers(0, 26, accounts).astype(float)
    annual = random.random(accounts) < 0.4
    features, left = [], []
    for week in range(weeks):
        renews = tenure % 52
        weeks_to_renewal = np.where(annual, (52 - renews) % 52, 0)
        soon = annual & (weeks_to_renewal < EARLY_WEEKS) & (tenure > 0)
        known = (use, use * use, tickets, np.log1p(tenure), annual * 1.0, soon * 1.0)
        features.append(np.column_stack(known))
        changed = shift > 0 and week >= CHANGES
        protection = 0.9 - (WEAKER if changed else 0.0)
        log_odds = -4.9 - protection * use + 0.5 * tickets - 0.15 * np.log1p(tenure) - 0.8 * annual
        log_odds += 3.0 * (soon & (weeks_to_renewal == 0)) + (shift if changed else 0.0)
        gone = random.random(accounts) < sigmoid(log_odds)
        left.append(gone * 1.0)
        new = int(gone.sum())
        use = level + 0.95 * (use - level) + random.normal(0, 0.16, accounts)
        tickets = np.abs(0.8 * tickets + random.normal(0, 0.35, accounts))
        tenure += 1
        level[gone] = random.normal(0, 0.8, new)
        use[gone] = level[gone] + random.normal(0, 0.5, new)
        tickets[gone], tenure[gone] = 0.0, 0.0
        annual[gone] = random.random(new) < 0.4
    return World(np.array(features), np.array(left))


@dataclass(frozen=True, slots=True)
class Watched:
    """One world's weeks after training: at which week (of evaluation) what was noticed first; None: never."""

    ratios: Sequence[Ratio]
    alarm: int | None
    warning: int | None
    stability: Sequence[int | None]
    after: float


def watch_world(world: World) -> Watched:
    """Fit on the first year, then look each week at the predictions that are 28 days old."""
    trained = range(0, TRAINED - EARLY_WEEKS + 1, EARLY_WEEKS)
    design = np.concatenate([world.features[week] for week in trained])
    outcome = np.concatenate([world.outcome(week) for week in trained])
    mean, spread = design.mean(axis=0), design.std(axis=0)
    found = solve((design - mean) / spread, outcome, np.full(design.shape[1], 0.1))

    def predict(week: int) -> Floats:
        return sigmoid(found.intercept + (world.features[week] - mean) / spread @ found.coefficients)

    weeks = range(TRAINED, CHANGES + WATCHED)
    scores = {week: predict(week) for week in weeks}
    ratios = [compare(world.outcome(week), scores[week]) for week in weeks]
    alarm = warning = None
    for number, week in enumerate(weeks):
        # What is seen of `week` is known four weeks later; before the change nothing counts as noticing it.
        at = week + EARLY_WEEKS
        if at <= CHANGES:
            continue
        drift = find_drift(ratios[: number + 1])
        if drift == "alarm" and alarm is None:
            alarm = at
        if drift in ("alarm", "warning") and warning is None:
            warning = at
    moved = {week: stability_index(scores[TRAINED], scores[week]) or 0.0 for week in weeks}
    stability = [
        next((week for week in weeks if week >= CHANGES and moved[week] > limit), None)
        for limit in STABILITY_LIMITS
    ]
    return Watched(ratios, alarm, warning, stability, _total(ratios[CHANGES - TRAINED :]))


def _total(ratios: Sequence[Ratio]) -> float:
    return sum(one.observed for one in ratios) / sum(one.expected for one in ratios)


MONITORS: dict[str, Callable[[Watched], int | None]] = {
    "O/E on 28-day labels, |z| > 3": lambda one: one.alarm,
    "the same, or |z| > 2 twice (warning)": lambda one: one.warning,
    f"stability index of scores > {STABILITY_LIMITS[0]:.2f}": lambda one: one.stability[0],
    f"stability index of scores > {STABILITY_LIMITS[1]:.2f}": lambda one: one.stability[1],
}


@dataclass(frozen=True, slots=True)
class Noticing:
    """How one monitor did: the share of changed worlds noticed and the median weeks until then, by size of the change;
    and the share of unchanged worlds with a false alarm in a year, with its 95 % interval.
    """

    monitor: str
    noticed: Mapping[str, float]
    weeks: Mapping[str, float | None]
    false_share: float
    false_low: float | None
    false_high: float | None


def measure(runs: int, accounts: int) -> tuple[list[Noticing], dict[str, float]]:
    """All monitors on `runs` worlds of each size of change and as many that don't change, and the median O/E after."""
    still = [watch_world(make_world(10_000 + seed, accounts)) for seed in range(len(SHIFTS) * runs)]
    changed = {
        size: [watch_world(make_world(seed, accounts, shift=shift)) for seed in range(runs)]
        for size, shift in SHIFTS.items()
    }
    found = []
    for name, look in MONITORS.items():
        seen = {
            size: [at - CHANGES for one in worlds if (at := look(one)) is not None]
            for size, worlds in changed.items()
        }
        false = share_of(sum(look(one) is not None for one in still), len(still))
        found.append(
            Noticing(
                name,
                {size: len(weeks) / runs for size, weeks in seen.items()},
                {size: statistics.median(weeks) if weeks else None for size, weeks in seen.items()},
                false.hits / len(still), false.low, false.high,
            )
        )  # fmt: skip
    after = {size: statistics.median(one.after for one in worlds) for size, worlds in changed.items()}
    return found, after | {"none": statistics.median(one.after for one in still)}


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument(
        "--runs",
        type=int,
        default=40,
        help="worlds for each size of the change, and as many in all without one [40]",
    )
    parser.add_argument("--accounts", type=int, default=6000, help="accounts in each [6000]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    arguments = parser.parse_args()
    began = time.process_time()
    found, after = measure(arguments.runs, arguments.accounts)
    spent = time.process_time() - began
    print(
        f"{'':40}" + "".join(f"{f'{size} change':>20}" for size in SHIFTS) + f"{'no change, in a year':>34}"
    )
    for one in found:
        told = ""
        for size in SHIFTS:
            weeks = one.weeks[size]
            told += f"{one.noticed[size]:>7.0%}" + f"{'' if weeks is None else f'in {weeks:g} weeks':>13}"
        low, high = one.false_low or 0.0, one.false_high or 0.0
        false = f"{one.false_share:.0%} false ({low:.0%} to {high:.0%})"
        print(f"{one.monitor:40}{told}{false:>34}")
    print(
        "O/E after the change: " + ", ".join(f"{ratio:.2f} ({size})" for size, ratio in after.items())
        + f". {arguments.runs} worlds of each size, {len(SHIFTS) * arguments.runs} without a change, "
        f"{arguments.accounts} accounts, {spent:.0f} CPU s."
    )  # fmt: skip
    if arguments.json:
        told_all = {"after": after, "cpu_seconds": spent, "monitors": [asdict(one) for one in found]}
        arguments.json.write_text(json.dumps(told_all, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
