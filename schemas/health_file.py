"""From `playbooks/health/NAME.yaml` to `schemas.health_model.HealthModel`, checked against the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from schemas.compilation import listed, mapping_at
from schemas.condition import AllOf
from schemas.condition_parser import GROUPS, ConditionParser
from schemas.errors import Problem
from schemas.form import PERCENT, FormError
from schemas.health_factor import FactorReader, check_usable
from schemas.health_model import EVERYONE, SEGMENTS, HealthModel
from schemas.language import Language
from schemas.problem import Report, did_you_mean
from schemas.shape import report_shape
from schemas.yaml_source import Path, Source

_NAME = re.compile("[a-z][a-z0-9_]*")
# What a condition says of a signal that isn't about its value now.
_OF_THE_PAST = frozenset({
    "crosses_below", "crosses_above", "drops_by", "rises_by", "older_than", "within", "due_within", "overdue_by",
})  # fmt: skip
# How exactly a row adds up to 100.
_ROUNDING = 1e-6


def read_health_model(
    source: Source, language: Language, name: str, problems: list[Problem]
) -> tuple[HealthModel | None, list[Problem]]:
    """Check one health model; `name` is its file's, `problems` what reading the YAML found.

    The model is None where there are errors.
    """
    report = Report(source, problems)
    report_shape(report, language.health_validator)
    if not isinstance(source.data, dict):
        return None, report.problems
    model = _Reader(report, language, source.data, name).read()
    return (None if report.failed else model), report.problems


class _Reader:
    """Reads what fits and says nothing of what doesn't: the shape was reported before."""

    def __init__(self, report: Report, language: Language, data: dict[str, Any], name: str) -> None:
        self.report = report
        self.catalogue = language.catalogue
        self.data = data
        self.name = name
        self.parser = ConditionParser(report, language.catalogue)

    def read(self) -> HealthModel | None:
        written = self.data.get("health")
        if isinstance(written, str) and written != self.name:
            what = f"The health model calls itself `{written}`, and its file `{self.name}`."
            hint = f"Write `health: {self.name}`, or rename the file."
            self.report.error(("health",), "PB501", what, hint)
        factors = mapping_at(self.data, "factors") or {}
        read = FactorReader(self.report, self.catalogue, self.condition)
        made = [
            read.read(name, body, ("factors", name)) for name, body in factors.items() if self.named(name)
        ]
        overrides = [
            self.override(item, ("overrides", index))
            for index, item in enumerate(listed(self.data, "overrides"))
        ]
        plans = self.plans(factors)
        raw = {
            "name": self.name,
            "about": self.data.get("about", ""),
            "shown": self.data.get("shown", "shares"),
            "factors": [factor for factor in made if factor is not None],
            "weights": self.rows(mapping_at(self.data, "weights") or {}, ("weights",), factors, whole=True),
            "plans": plans,
            "bands": self.bands(),
            "trend": self.trend(),
            "minimum_coverage": self.coverage(),
            "overrides": [item for item in overrides if item is not None],
        }
        if self.report.failed:
            return None
        try:
            return HealthModel.model_validate(raw)
        except ValidationError as error:
            # What the schema lets through and the model doesn't: an endless or huge number, for one.
            fault = error.errors()[0]
            self.report.error(tuple(fault["loc"]), "PB101", f"{fault['msg']}.")
            return None

    def named(self, name: str) -> bool:
        """Whether a factor's name is one."""
        if _NAME.fullmatch(name) and len(name) <= 64:
            return True
        slug = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        hint = f"Write lower-case words with underscores{f': {slug}' if slug else ''}."
        self.report.error(("factors", name), "PB104", f"A factor can't be called `{name}`.", hint, key=True)
        return False

    def condition(self, data: Mapping[str, Any], path: Path) -> AllOf | None:
        """The condition under `when`; only signals as they are now are there while health is worked out."""
        if "when" not in data:
            return None
        parsed = self.parser.parse(data["when"], (*path, "when"))
        for key, value, where in _lines(data["when"], (*path, "when")):
            if key == "event" or (isinstance(value, dict) and _OF_THE_PAST & value.keys()):
                what = "A health model looks at signals as they are now, and this asks for their past or the time."
                hint = "Use a signal that says it, such as days_since_last_login or support_tickets_30d."
                self.report.error(where, "PB506", what, hint, key=True)
            elif key in self.catalogue.signals:
                check_usable(self.report, self.catalogue.signals[key], where, key=True)
        return parsed

    def override(self, item: Any, path: Path) -> dict[str, Any] | None:
        if not isinstance(item, dict):
            return None
        when = self.condition(item, path)
        effects = {key: item[key] for key in ("at_most", "at_least", "risk") if key in item}
        if not effects:
            hint = "Write `at_most:`, `at_least:` or `risk:`."
            self.report.error(path, "PB508", "This override changes nothing.", hint)
        low, high = effects.get("at_least"), effects.get("at_most")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            what = f"The score can't be at least {low} and at most {high}."
            self.report.error((*path, "at_least"), "PB107", what, "Write the lower score under `at_least:`.")
        return {"when": when, "about": item.get("about", ""), **effects} if when is not None else None

    def rows(
        self, given: dict[str, Any], path: Path, factors: Mapping[str, Any], *, whole: bool = False
    ) -> dict[str, dict[str, float]]:
        """The rows of weights; `whole`: every segment must have one."""
        rows = {}
        for segment, row in given.items():
            if isinstance(row, dict) and not self.report.has_fault_within((*path, segment)):
                self.check_row(row, (*path, segment), factors)
                rows[segment] = row
        missing = [segment for segment in SEGMENTS if segment not in given]
        if whole and given and missing and EVERYONE not in given and not self.report.has_fault_within(path):
            what = f"There are no weights for {' and '.join(missing)}."
            hint = f"Write a row for each segment, or `{EVERYONE}:` for those that have none."
            self.report.error(path, "PB504", what, hint, key=True)
        return rows

    def check_row(self, row: dict[str, float], path: Path, factors: Mapping[str, Any]) -> None:
        for name in row:
            if name not in factors:
                hint = did_you_mean(name, list(factors), otherwise="Describe it under `factors:`.")
                self.report.error((*path, name), "PB505", f"There is no factor `{name}`.", hint, key=True)
        total = sum(row.values())
        if abs(total - 100) > _ROUNDING and not self.report.has_fault_within(path):
            what = f"The weights of `{path[-1]}` add up to {total:g}, not to 100."
            more = "Add" if total < 100 else "Take away"
            hint = f"{more} {abs(100 - total):g}."
            if abs(total - 1) < _ROUNDING:
                hint = "Weights are points of 100: write 25 for 0.25."
            self.report.error(path, "PB504", what, hint, key=True)

    def plans(self, factors: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
        plans = mapping_at(self.data, "plans") or {}
        known = self.catalogue.signals["plan"].values if "plan" in self.catalogue.signals else None
        for plan in plans:
            if known and plan not in known:
                hint = did_you_mean(plan, known, otherwise=f"Known here: {', '.join(known)}.")
                self.report.warn(
                    ("plans", plan), "PB509", f"No customer has the plan `{plan}`.", hint, key=True
                )
        return {
            plan: self.rows(rows, ("plans", plan), factors)
            for plan, rows in plans.items()
            if isinstance(rows, dict)
        }

    def bands(self) -> dict[str, Any]:
        bands = mapping_at(self.data, "bands") or {}
        healthy, at_risk = bands.get("healthy"), bands.get("at_risk")
        if isinstance(healthy, int) and isinstance(at_risk, int) and healthy <= at_risk:
            what = f"Healthy begins at {healthy}, which is not above at_risk, {at_risk}."
            self.report.error(("bands", "healthy"), "PB507", what, "The healthy have the higher scores.")
        return bands

    def trend(self) -> dict[str, Any]:
        trend = dict(mapping_at(self.data, "trend") or {})
        days, least = trend.get("days", 30), trend.get("least_scores", 7)
        if isinstance(days, int) and isinstance(least, int) and least > days:
            what = f"In {days} days there are never {least} scores, one a day."
            where = "least_scores" if "least_scores" in trend else "days"
            self.report.error(("trend", where), "PB107", what, "Write fewer scores, or more days.")
        return trend

    def coverage(self) -> float:
        """The share under `minimum_coverage`; that it looks like one was seen to before."""
        given = self.data.get("minimum_coverage")
        if not isinstance(given, str) or self.report.is_faulty(("minimum_coverage",)):
            return 0.0
        try:
            return PERCENT.parse(given) / 100
        except FormError as error:
            self.report.form_error(("minimum_coverage",), "PB104", error)
            return 0.0


def _lines(data: Any, path: Path) -> Iterator[tuple[str, Any, Path]]:
    """Every line of a written condition: its key, what stands there, and where."""
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        if key in GROUPS and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _lines(item, (*path, key, index))
        else:
            yield key, value, (*path, key)
