"""A churn model as canonical JSON and back; the hash of the JSON is the model's version."""

from __future__ import annotations

import hashlib
import json

import msgspec

from schemas.errors import InputError
from scoring.churning.model import FORMAT, ChurnModel, Terms
from scoring.churning.parts import Curve

_REMEDY = "Fit the model again with `holdfast churn fit`."


def write_model(model: ChurnModel) -> bytes:
    """The model as JSON on one line, keys sorted: the same model gives the same bytes."""
    return msgspec.json.encode(model, order="sorted") + b"\n"


def version_of(model: ChurnModel) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the model's JSON."""
    return hashlib.sha256(write_model(model)).hexdigest()[:16]


def read_model(data: bytes, source: str = "the model") -> ChurnModel:
    """The model that this JSON describes.

    Raises InputError for another format, unknown or missing keys, numbers that aren't finite, and parts that don't
    fit together; `source` names the file in messages.
    """
    try:
        format_ = json.loads(data).get("format")
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{source} is no churn model: it isn't a JSON object.", remedy=_REMEDY) from None
    if format_ != FORMAT:
        raise InputError(
            f"{source} has the format {format_!r}; this version reads {FORMAT!r}.", remedy=_REMEDY
        )
    try:
        model = msgspec.json.decode(data, type=ChurnModel)
    except msgspec.MsgspecError as error:
        raise InputError(f"{source} is damaged: {error}.", remedy=_REMEDY) from None
    fault = find_fault(model.terms)
    if fault:
        raise InputError(f"{source} is damaged: {fault}.", remedy=_REMEDY)
    return model


def find_fault(model: Terms) -> str | None:
    """What doesn't fit together, if anything."""
    widths = []
    for effect in model.effects:
        part = effect.part
        widths.append(part.width)
        if len(effect.weights) != part.width or len(part.means) != part.width:
            return f"{part.column} has {len(effect.weights)} weights where {part.width} are due"
        if isinstance(part, Curve):
            rising = all(one < next_ for one, next_ in zip(part.knots, part.knots[1:], strict=False))
            if not part.low < part.high or not rising or len(part.knots) in (1, 2):
                return f"{part.column} has bounds or knots that don't rise"
    if len(set(model.columns)) != len(model.columns):
        return "a column appears twice"
    for pair in model.pairs:
        if not (
            0 <= pair.first < len(widths) and 0 <= pair.second < len(widths) and pair.first != pair.second
        ):
            return "a pair names a column that isn't there"
        shape = {len(row) for row in pair.weights}
        if len(pair.weights) != widths[pair.first] + 1 or shape != {widths[pair.second] + 1}:
            return "a pair has the wrong number of weights"
    kinds = {effect.part.column: isinstance(effect.part, Curve) for effect in model.effects}
    for rule in model.rules:
        if not rule.conjunction.conditions:
            return "a rule has no condition"
        for condition in rule.conjunction.conditions:
            if kinds.get(condition.column) is not (type(condition).__name__ == "Above"):
                return f"a rule asks for {condition.column}, which isn't a column of that kind"
    return None
