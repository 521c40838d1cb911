"""What a treatment did, against those who were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scoring.intervals import newcombe_interval

# Below this many successes or failures in either arm an interval is too wide to act on.
FEW = 5


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference of two shares of success, treated less held out, with its interval.

    Rates and differences are shares from 0 to 1, None where an arm is empty. `incremental` is the successes
    that would not have happened (difference times treated customers). `note` says in words how far to trust
    it.
    """

    treated_n: int
    held_out_n: int
    treated_rate: float | None
    held_out_rate: float | None
    difference: float | None
    low: float | None
    high: float | None
    incremental: float | None
    verdict: Literal["better", "worse", "undecided", "not estimable"]
    note: str


def compare_arms(
    treated_successes: int,
    treated_n: int,
    held_out_successes: int,
    held_out_n: int,
    *,
    confidence: float = 0.95,
) -> Effect:
    """Compare the shares of success of two independent arms; counts are of customers whose window has closed.

    The interval is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), which keeps
    its coverage in arms as small as holdouts are. Raises ValueError for counts that can't be.
    """
    for successes, n in ((treated_successes, treated_n), (held_out_successes, held_out_n)):
        if not 0 <= successes <= n:
            raise ValueError(f"{successes} successes of {n} customers can't be")
    treated_rate = treated_successes / treated_n if treated_n else None
    held_out_rate = held_out_successes / held_out_n if held_out_n else None
    if treated_rate is None or held_out_rate is None:
        empty = "treated" if treated_rate is None else "held out"
        note = f"Nobody was {empty} whose window has closed: the effect can't be estimated."
        return Effect(
            treated_n, held_out_n, treated_rate, held_out_rate, None, None, None, None, "not estimable", note
        )
    low, high = newcombe_interval(
        treated_successes, treated_n, held_out_successes, held_out_n, confidence=confidence
    )
    difference = treated_rate - held_out_rate
    scarce = min(
        treated_successes,
        treated_n - treated_successes,
        held_out_successes,
        held_out_n - held_out_successes,
    )
    verdict: Literal["better", "worse", "undecided"] = (
        "better" if low > 0 else "worse" if high < 0 else "undecided"
    )
    notes = {
        "better": "More of the treated reached the goal than would have by themselves.",
        "worse": "Fewer of the treated reached the goal than would have by themselves.",
        "undecided": "The interval holds no effect as well: these numbers can't tell.",
    }
    note = notes[verdict]
    if scarce < FEW:
        note += f" An arm has fewer than {FEW} successes or failures: wait for more before acting on it."
    return Effect(
        treated_n=treated_n,
        held_out_n=held_out_n,
        treated_rate=treated_rate,
        held_out_rate=held_out_rate,
        difference=difference,
        low=low,
        high=high,
        incremental=difference * treated_n,
        verdict=verdict,
        note=note,
    )
