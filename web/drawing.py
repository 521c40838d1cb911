"""How a run's variants came about, so that anybody can check the draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rules.assignment import share
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Split
from store.reading_run_page import Exposure


@dataclass(frozen=True)
class Band:
    """The part of [0, 1) that belongs to one variant."""

    variant: str
    low: float
    high: float


@dataclass(frozen=True)
class Draw:
    """One experiment of a run: where the customer falls, and to whom that place belongs.

    kept: another run of this customer drew it before, at `exposed_at`. by_hand: the variant isn't where the draw falls,
    as weights have changed since, or somebody promoted one.
    """

    experiment: str
    variant: str
    point: float
    bands: Sequence[Band]
    exposed_at: datetime | None
    kept: bool

    @property
    def by_hand(self) -> bool:
        """Whether the draw by today's weights of the version would give another variant."""
        return not any(
            band.variant == self.variant and band.low <= self.point < band.high for band in self.bands
        )


def explain_draws(
    playbook: CompiledPlaybook | None,
    variants: Mapping[str, str],
    exposures: Mapping[str, Exposure],
    user_id: str,
    run_id: str,
) -> list[Draw]:
    """Every variant of a run, by its experiment's name; without its version only what was drawn."""
    weights: dict[str, Mapping[str, int]] = {}
    for step in walk(playbook.steps) if playbook else ():
        if isinstance(step, Split):
            weights.setdefault(step.experiment, {name: one.weight for name, one in step.variants.items()})
    found = []
    for experiment, variant in sorted(variants.items()):
        exposure = exposures.get(experiment)
        found.append(
            Draw(
                experiment, variant, share(f"variant:{experiment}", user_id), _bands(weights.get(experiment, {})),
                exposure.at if exposure else None, exposure is not None and exposure.run_id != run_id,
            )
        )  # fmt: skip
    return found


def _bands(weights: Mapping[str, int]) -> list[Band]:
    total = sum(weight for weight in weights.values() if weight > 0)
    bands, edge = [], 0.0
    for name, weight in sorted(weights.items()):
        if weight > 0:
            bands.append(Band(name, edge / total, (edge + weight) / total))
            edge += weight
    return bands
