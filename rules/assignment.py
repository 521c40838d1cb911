"""Who is held out and who gets which variant: by hashing, so that every machine and every simulation agrees.

Arms are laid out in order of their names, not of the file: reordering variants makes no new version of a
playbook and moves nobody. Changing weights moves as few customers as the change of the edges demands; what a
running run was assigned stays with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from schemas.nesting import inner
from schemas.plan import Split, Steps

_LARGEST_SHARE = 1 - 2**-53


def share(salt: str, customer: str) -> float:
    """Where `customer` (the caller's id) falls in [0, 1) under `salt`.

    The first eight bytes of SHA-256 of `salt:customer` over 2^64.
    """
    digest = hashlib.sha256(f"{salt}:{customer}".encode("utf-8", "surrogatepass")).digest()
    # The float division rounds the topmost values up to 1.
    return min(int.from_bytes(digest[:8]) / 2**64, _LARGEST_SHARE)


def held_out(salt: str, percent: float, customer: str) -> bool:
    """Whether `customer` belongs to the `percent` (0 to 100) never treated under `salt`."""
    return share(f"holdout:{salt}", customer) < percent / 100


def assign(experiment: str, weights: Mapping[str, int], customer: str) -> str:
    """The arm of `experiment` that `customer` takes; weights are relative. ValueError if none is above 0."""
    arms_in_order = sorted((name, weight) for name, weight in weights.items() if weight > 0)
    if not arms_in_order:
        raise ValueError(f"experiment {experiment}: no variant has a weight above 0")
    point = share(f"variant:{experiment}", customer) * sum(weight for _, weight in arms_in_order)
    edge = 0
    for name, weight in arms_in_order:
        edge += weight
        if point < edge:
            return name
    return arms_in_order[-1][0]


def arms(steps: Steps, customer: str, kept: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The arm of each experiment that `customer` may come to in `steps`, by experiment.

    Experiments inside an arm count only where that arm was drawn: nobody else is exposed to them. An arm that is
    `kept` isn't drawn again.
    """
    found = dict(kept)
    _collect(steps, customer, found)
    return found


def _collect(steps: Steps, customer: str, found: dict[str, str]) -> None:
    for step in steps:
        match step:
            case Split():
                weights = {name: variant.weight for name, variant in step.variants.items()}
                arm = found.setdefault(step.experiment, assign(step.experiment, weights, customer))
                if arm in step.variants:
                    _collect(step.variants[arm].steps, customer, found)
            case _:
                for nested in inner(step):
                    _collect(nested, customer, found)
