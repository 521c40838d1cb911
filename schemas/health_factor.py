"""One factor of a health model's file, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.catalogue import Catalogue, Signal
from schemas.condition import AllOf
from schemas.health_schema import SHAPES, is_usable
from schemas.problem import Report, did_you_mean, join_words
from schemas.yaml_source import Path

# Shapes that are made of the one signal under `signal`, and the type that it has.
_OF_ONE = {"linear": "number", "steps": "number", "decay": "number", "share_of": "number", "values": "text"}
# Words that belong to one shape.
_BESIDE = {"without": "share_of", "rest": "values"}


class FactorReader:
    """Reads the factors of one file; `condition` reads a factor's `when`."""

    def __init__(
        self,
        report: Report,
        catalogue: Catalogue,
        condition: Callable[[Mapping[str, Any], Path], AllOf | None],
    ) -> None:
        self.report = report
        self.catalogue = catalogue
        self.condition = condition

    def read(self, name: str, body: Any, path: Path) -> dict[str, Any] | None:
        """The factor as `schemas.health_model.Factor` takes it, None where something is missing."""
        if not isinstance(body, dict):
            return None
        shapes = [shape for shape in SHAPES if shape in body]
        if len(shapes) != 1:
            self._tell_shapes(name, shapes, path)
        when = self.condition(body, path)
        self._check_words(body, shapes, path)
        if len(shapes) != 1:
            return None
        shape = self._shape(shapes[0], body, path)
        low, high = body.get("at_least", 0), body.get("at_most", 1)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            what = f"A factor can't be at least {low} and at most {high}."
            self.report.error((*path, "at_least"), "PB107", what, "Write the lower one under `at_least:`.")
        if shape is None:
            return None
        kept = {key: body[key] for key in ("about", "at_least", "at_most", "otherwise") if key in body}
        return {"name": name, "shape": shape, "when": when, "missing": _missing(body.get("missing")), **kept}

    def _tell_shapes(self, name: str, shapes: list[str], path: Path) -> None:
        if self.report.has_fault_within(path):
            return
        if shapes:
            what = f"`{name}` has several shapes: {join_words(shapes, 'and')}."
            self.report.error((*path, shapes[1]), "PB108", what, "Keep one of them.", key=True)
        else:
            hint = f"Write one of {', '.join(SHAPES)}; `linear: {{worst: 14, best: 0}}`, for example."
            self.report.error(path, "PB103", f"`{name}` has no shape.", hint, key=True)

    def _check_words(self, body: dict[str, Any], shapes: list[str], path: Path) -> None:
        """What can't stand together."""
        for word, shape in _BESIDE.items():
            if word in body and shapes and shape not in shapes:
                hint = f"`{word}` stands beside `{shape}`."
                if word == "rest" and "steps" in shapes:
                    hint = "Move it below `steps:`."
                self.report.error((*path, word), "PB102", f"`{word}` means nothing here.", hint, key=True)
        if "otherwise" in body and "when" not in body:
            hint = "Write `when:`, or take it away; what stands in for a missing signal is `missing:`."
            self.report.error((*path, "otherwise"), "PB102", "`otherwise` needs a `when`.", hint, key=True)
        if "when" in body and "otherwise" not in body:
            hint = "Write `otherwise: 1`, for example."
            self.report.error((*path, "otherwise"), "PB103", "`when` needs an `otherwise`.", hint, key=True)
        if "gives" in shapes and "when" not in body:
            hint = "Write `when:`, or take the factor away."
            self.report.error(
                (*path, "gives"), "PB508", "This factor is the same for everybody.", hint, key=True
            )
        if len(shapes) == 1 and shapes[0] in _OF_ONE and "signal" not in body:
            hint = "Write `signal: days_since_last_login`, for example."
            self.report.error((*path, "signal"), "PB103", f"`{shapes[0]}` needs a `signal`.", hint, key=True)
        if "signal" in body and len(shapes) == 1 and shapes[0] not in _OF_ONE:
            hint = "Take it away."
            self.report.error((*path, "signal"), "PB102", f"`{shapes[0]}` takes no `signal`.", hint, key=True)
        missing = body.get("missing")
        if "values" in shapes and isinstance(missing, int | float):
            hint = f"Write {{gives: {missing}}} for what the factor comes to."
            self.report.error((*path, "missing"), "PB502", "A text can't count as a number.", hint)

    def _shape(self, shape: str, body: dict[str, Any], path: Path) -> dict[str, Any] | None:
        given = body[shape]
        name = body.get("signal")
        if shape in _OF_ONE and not self._check_signal(name, _OF_ONE[shape], shape, (*path, "signal")):
            return None
        if self.report.has_fault_within((*path, shape)):
            return None
        match shape:
            case "linear":
                if given["worst"] == given["best"]:
                    what = f"Worst and best are both {given['best']:g}."
                    self.report.error((*path, shape), "PB107", what, "Write two numbers that differ.")
                return {"kind": shape, "signal": name, **given}
            case "steps":
                self._check_steps(given, (*path, shape))
                more = {key: given[key] for key in ("rest", "out_of") if key in given}
                return {"kind": shape, "signal": name, "steps": given["values"], **more}
            case "decay":
                return {"kind": shape, "signal": name, **given}
            case "share_of":
                if not self._check_signal(given, "number", shape, (*path, shape)):
                    return None
                return {"kind": shape, "signal": name, "whole": given, "without": body.get("without", 0)}
            case "values":
                self._check_values(str(name), given, (*path, shape))
                return {"kind": shape, "signal": name, "values": given, "rest": body.get("rest", 0)}
            case "in_use":
                good = [
                    self._check_signal(n, "number", shape, (*path, shape, i)) for i, n in enumerate(given)
                ]
                return {"kind": shape, "signals": given} if all(good) else None
        return {"kind": "gives", "share": given}

    def _check_signal(self, name: Any, wanted: str, shape: str, path: Path) -> bool:
        if not isinstance(name, str) or self.report.is_faulty(path):
            return False
        signal = self.catalogue.signals.get(name)
        if signal is None:
            known = [one.name for one in self.catalogue.signals.values() if one.type == wanted]
            hint = did_you_mean(name, known, otherwise="`schemas/signals.yaml` lists all signals.")
            self.report.error(path, "PB201", f"There is no signal `{name}`.", hint)
            return False
        if not check_usable(self.report, signal, path):
            return False
        if signal.type != wanted:
            hint = {
                "text": "Write `values:` with what each text comes to.",
                "time": "Take the signal that counts the days since then, such as days_since_last_login.",
                "number": "Write `linear:` or `steps:`.",
                "bool": f"Write `gives: 1`, `when: {{{name}: true}}` and `otherwise: 0`.",
            }.get(signal.type, "Take another signal.")
            what = f"`{shape}` needs a signal of type {wanted}, and `{name}` is of type {signal.type}."
            self.report.error(path, "PB502", what, hint)
            return False
        return True

    def _check_steps(self, given: dict[str, Any], path: Path) -> None:
        before = None
        out_of = given.get("out_of", 1)
        for index, step in enumerate(given["values"]):
            where = (*path, "values", index)
            if before is not None and step["below"] <= before:
                what = f"Nobody is below {step['below']:g} who isn't below {before:g}, the step before."
                self.report.error((*where, "below"), "PB507", what, "Write the limits in ascending order.")
            if step["gives"] > out_of:
                what = f"{step['gives']:g} is more than the {out_of:g} that it is a part of."
                self.report.error((*where, "gives"), "PB507", what, f"Write `out_of: {step['gives']:g}`.")
            before = step["below"] if before is None else max(before, step["below"])
        if given.get("rest", 0) > out_of:
            what = f"{given['rest']:g} is more than the {out_of:g} that it is a part of."
            self.report.error((*path, "rest"), "PB507", what, f"Write `out_of: {given['rest']:g}`.")

    def _check_values(self, name: str, given: dict[str, Any], path: Path) -> None:
        known = self.catalogue.signals[name].values
        for value in given:
            if known and value not in known:
                hint = did_you_mean(value, known)
                what = f"`{name}` is never `{value}`."
                self.report.warn((*path, value), "PB509", what, hint, key=True)


def check_usable(report: Report, signal: Signal, path: Path, *, key: bool = False) -> bool:
    """Whether a model may look at the signal; reports it otherwise."""
    if is_usable(signal):
        return True
    if signal.personal:
        what, hint = f"`{signal.name}` is personal: health doesn't look at persons.", "Take another signal."
    else:
        what = f"`{signal.name}` is worked out from the health score, so that the score can't depend on it."
        hint = "Take a signal that events or records bring."
    report.error(path, "PB503", what, hint, key=key)
    return False


def _missing(given: Any) -> dict[str, float]:
    if isinstance(given, dict):
        return {"gives": given["gives"]} if "gives" in given else {}
    return {"counts_as": given} if isinstance(given, int | float) and not isinstance(given, bool) else {}
