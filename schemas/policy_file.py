"""From `playbooks/policy.yaml` to `schemas.policy.Policy`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from schemas.errors import Problem
from schemas.form import PERCENT, RATE, WINDOW, Form, FormError, parse_days
from schemas.health_model import DEFAULT_MODEL
from schemas.language import Language
from schemas.policy import Cap, Policy, WorkingHours
from schemas.problem import Report, did_you_mean, nearest
from schemas.shape import report_shape
from schemas.yaml_source import Path, Source

T = TypeVar("T")


def read_policy(
    source: Source,
    language: Language,
    problems: list[Problem],
    health_models: Collection[str] | None = None,
) -> tuple[Policy | None, list[Problem]]:
    """The policy, or None where there are errors; `problems` is what reading the YAML found.

    `health_models` are the names that there are (None: any will do).
    """
    report = Report(source, problems)
    report_shape(report, language.policy_validator)
    if not isinstance(source.data, dict):
        return None, report.problems
    policy = _Reader(report, source.data, health_models).read()
    return (None if report.failed else policy), report.problems


class _Reader:
    def __init__(self, report: Report, data: dict[str, Any], health_models: Collection[str] | None) -> None:
        self.report = report
        self.data = data
        self.health_models = health_models

    def read(self) -> Policy:
        data = self.data
        consent = self.mapping("consent")
        caps = {name: self.cap(text, ("caps", name)) for name, text in self.mapping("caps").items()}
        entries = data.get("entries")
        return Policy(
            default_zone=self.zone(),
            quiet_hours=self.form(WINDOW, data.get("quiet_hours"), ("quiet_hours",)),
            critical_in_quiet_hours=data.get("critical_in_quiet_hours") is True,
            caps={name: cap for name, cap in caps.items() if cap},
            entries=self.cap(entries, ("entries",)) if entries is not None else None,
            consent={name: rule for name, rule in consent.items() if rule in ("assumed", "required")},
            topics=tuple(topic for topic in self.topics(consent) if isinstance(topic, str)),
            holdout_percent=self.form(PERCENT, data.get("holdout"), ("holdout",)) or 0.0,
            working_hours=self.working_hours() if "working_hours" in data else None,
            costs={
                name: float(cost)
                for name, cost in self.mapping("costs").items()
                if isinstance(cost, (int, float)) and not isinstance(cost, bool)
            },
            health_model=self.health_model(),
        )

    def health_model(self) -> str:
        name = self.data.get("health_model")
        if not isinstance(name, str):
            return DEFAULT_MODEL
        if self.health_models is not None and name not in self.health_models:
            hint = did_you_mean(name, self.health_models, otherwise=f"Write it as health/{name}.yaml.")
            self.report.error(("health_model",), "PB403", f"There is no health model `{name}`.", hint)
        return name

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.data.get(key)
        return value if isinstance(value, dict) else {}

    def topics(self, consent: dict[str, Any]) -> list[Any]:
        topics = consent.get("topics")
        return topics if isinstance(topics, list) else []

    def form(self, form: Form[T], value: Any, path: Path) -> T | None:
        if not isinstance(value, str):
            return None
        try:
            return form.parse(value)
        except FormError as error:
            self.report.form_error(path, "PB104", error)
            return None

    def cap(self, value: Any, path: Path) -> Cap | None:
        rate = self.form(RATE, value, path)
        return Cap(times=rate[0], seconds=rate[1]) if rate else None

    def zone(self) -> str:
        name = self.data.get("default_zone")
        if not isinstance(name, str):
            return "UTC"
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            close = nearest(name, available_timezones())
            hint = (
                f"Did you mean {' or '.join(close)}?"
                if close
                else "Write an IANA name such as Europe/Berlin."
            )
            self.report.error(("default_zone",), "PB401", f"There is no time zone `{name}`.", hint)
            return "UTC"
        return name

    def working_hours(self) -> WorkingHours:
        given = self.mapping("working_hours")
        between = self.form(WINDOW, given.get("between"), ("working_hours", "between"))
        if between and between[0] >= between[1]:
            what = "Working hours end on the day on which they begin."
            self.report.error(
                ("working_hours", "between"), "PB402", what, 'Write the earlier time first: "09:00-17:00".'
            )
            between = None
        made = {"between": between} if between else {}
        days = given.get("days")
        if days is not None and not self.report.has_fault_within(("working_hours", "days")):
            return WorkingHours(weekdays=parse_days(days), **made)
        return WorkingHours(**made)
