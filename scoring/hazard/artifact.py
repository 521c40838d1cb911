"""A hazard model as canonical JSON and back; the hash of the JSON is the model's version."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from schemas.errors import InputError
from scoring.churning.artifact import find_fault
from scoring.hazard.model import FORMAT, HazardModel
from scoring.hazard.weeks import BILLING, PERIOD_WIDTH

_REMEDY = "Train the model again with `holdfast train`."


def write_hazard(model: HazardModel) -> bytes:
    """The model as JSON on one line, keys sorted: the same model gives the same bytes."""
    return msgspec.json.encode(model, order="sorted") + b"\n"


@lru_cache(maxsize=8)
def version_of(model: HazardModel) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the model's JSON."""
    return hashlib.sha256(write_hazard(model)).hexdigest()[:16]


def read_hazard(data: bytes | str, source: str = "the model", *, allowed: Collection[str]) -> HazardModel:
    """The model that this JSON describes; `source` names where it comes from in messages.

    Raises InputError for another format, unknown or missing keys, numbers that aren't finite, parts that don't fit
    together, and features outside `allowed`, the names of the learnable signals.
    """
    try:
        plain = json.loads(data)
        format_ = plain.get("format")
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{source} is no hazard model: it isn't a JSON object.", remedy=_REMEDY) from None
    if format_ != FORMAT:
        raise InputError(
            f"{source} has the format {format_!r}; this version reads {FORMAT!r}.", remedy=_REMEDY
        )
    try:
        model = msgspec.json.decode(data, type=HazardModel)
    except msgspec.MsgspecError as error:
        raise InputError(f"{source} is damaged: {error}.", remedy=_REMEDY) from None
    fault = _find_fault(model, plain)
    if fault:
        raise InputError(f"{source} is damaged: {fault}.", remedy=_REMEDY)
    used = {*model.columns, *((BILLING,) if model.renewals.by_billing else ())}
    foreign = sorted(used - set(allowed))
    if foreign:
        raise InputError(
            f"{source} reads {', '.join(foreign)}, from which nothing may be learned.",
            remedy="Train a model under the present catalogue, or mark the signal as `learning` in it.",
        )
    return model


def _find_fault(model: HazardModel, plain: Any) -> str | None:
    if not all(math.isfinite(number) for number in _numbers(plain)):
        return "a number isn't finite"
    fault = find_fault(model.terms)
    if fault:
        return fault
    if len(model.period) != PERIOD_WIDTH:
        return f"the weeks have {len(model.period)} weights instead of {PERIOD_WIDTH}"
    if any(one.every_days is not None and not one.every_days >= 1 for one in model.renewals.by_billing):
        return "a billing period is shorter than a day"
    if not model.calibration.slope > 0:
        return "its calibration turns the order round"
    found = model.uncertainty
    fixed = PERIOD_WIDTH + 2 + len(model.renewals.by_billing)
    alone = (
        1
        + fixed
        + sum(
            effect.part.width + (spread.missing is not None)
            for effect, spread in zip(model.effects, found.spreads, strict=False)
        )
    )
    square = len(found.deviations) == alone and len(found.correlations) == alone * (alone - 1) // 2
    shapes = len(found.spreads) == len(model.effects) and len(found.centres) == fixed
    turned = all(
        len(spread.means) == effect.part.width == len(spread.turn)
        and {len(row) for row in spread.turn} == {effect.part.width}
        for effect, spread in zip(model.effects, found.spreads, strict=False)
    )
    return None if square and shapes and turned else "its covariance doesn't fit its columns"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, float):
        yield value
