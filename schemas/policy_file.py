"""From `playbooks/policy.yaml` to `schemas.policy.Policy`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from schemas.errors import Problem
from schemas.form import DURATION, PERCENT, RATE, WINDOW, Form, FormError, parse_days
from schemas.health_model import DEFAULT_MODEL
from schemas.language import Language
from schemas.policy import (
    INTERVENTION_TYPES,
    Cap,
    ChurnPolicy,
    InterventionType,
    MarketRow,
    Policy,
    Silence,
    Team,
    WorkingHours,
)
from schemas.problem import Report, did_you_mean, nearest
from schemas.shape import report_shape
from schemas.yaml_source import Path, Source

T = TypeVar("T")


def read_policy(
    source: Source,
    language: Language,
    problems: list[Problem],
    health_models: Collection[str] | None = None,
    playbooks: Collection[str] | None = None,
) -> tuple[Policy | None, list[Problem]]:
    """The policy, or None where there are errors; `problems` is what reading the YAML found.

    `health_models` and `playbooks` are the names that there are (None: any will do).
    """
    report = Report(source, problems)
    report_shape(report, language.policy_validator)
    if not isinstance(source.data, dict):
        return None, report.problems
    policy = _Reader(report, source.data, health_models, playbooks).read()
    return (None if report.failed else policy), report.problems


class _Reader:
    def __init__(
        self,
        report: Report,
        data: dict[str, Any],
        health_models: Collection[str] | None,
        playbooks: Collection[str] | None,
    ) -> None:
        self.report = report
        self.data = data
        self.health_models = health_models
        self.playbooks = playbooks

    def read(self) -> Policy:
        data = self.data
        consent = self.mapping("consent")
        caps = {
            name: self.cap(text, ("caps", name))
            for name, text in self.mapping("caps").items()
            if name != "topics"
        }
        caps |= self.topic_caps(consent)
        entries = data.get("entries")
        return Policy(
            default_zone=self.zone(),
            quiet_hours=self.form(WINDOW, data.get("quiet_hours"), ("quiet_hours",)),
            critical_in_quiet_hours=data.get("critical_in_quiet_hours") is True,
            caps={name: cap for name, cap in caps.items() if cap},
            entries=self.cap(entries, ("entries",)) if entries is not None else None,
            consent={name: rule for name, rule in consent.items() if rule in ("assumed", "required")},
            topics=tuple(topic for topic in self.topics(consent) if isinstance(topic, str)),
            silence=self.silence(),
            unknown={
                name: said
                for name, said in self.mapping("unknown").items()
                if name in ("critical", "other") and said in ("leave", "again")
            },
            exploration_percent=self.form(PERCENT, data.get("exploration"), ("exploration",)) or 0.0,
            holdout_percent=self.form(PERCENT, data.get("holdout"), ("holdout",)) or 0.0,
            working_hours=self.working_hours() if "working_hours" in data else None,
            teams=self.teams(),
            costs={
                name: float(cost)
                for name, cost in self.mapping("costs").items()
                if isinstance(cost, (int, float)) and not isinstance(cost, bool)
            },
            keywords={
                name: tuple(words)
                for name, words in self.mapping("keywords").items()
                if name in ("stop", "start", "help") and isinstance(words, list)
            },
            health_model=self.health_model(),
            churn=self.churn(),
            interventions=self.interventions(),
        )

    def interventions(self) -> dict[InterventionType, str]:
        if self.report.has_fault_within(("interventions",)):
            return {}
        given = self.mapping("interventions")
        for name, playbook in given.items():
            if self.playbooks is not None and playbook not in self.playbooks:
                hint = did_you_mean(playbook, self.playbooks, otherwise=f"Write it as {playbook}.yaml.")
                what = f"There is no playbook `{playbook}`."
                self.report.error(("interventions", name), "PB410", what, hint)
        return {name: given[name] for name in INTERVENTION_TYPES if name in given}

    def topic_caps(self, consent: dict[str, Any]) -> dict[str, Cap | None]:
        given = self.mapping("caps").get("topics")
        known = [topic for topic in self.topics(consent) if isinstance(topic, str)]
        made = {}
        for topic, text in given.items() if isinstance(given, dict) else ():
            path = ("caps", "topics", topic)
            made[f"topic:{topic}"] = self.cap(text, path)
            # A slip of the pen would be a cap on nothing.
            if known and topic not in known:
                hint = did_you_mean(topic, known, otherwise="List it under `topics` of `consent`.")
                self.report.error(path, "PB408", f"There is no topic `{topic}`.", hint, key=True)
        return made

    def silence(self) -> Silence | None:
        given = self.mapping("silence")
        if not given or self.report.has_fault_within(("silence",)):
            return None
        after = {
            f"{name}_seconds": self.form(DURATION, given.get(name), ("silence", name))
            for name in ("after_reply", "after_call")
        }
        ticket = given.get("open_ticket") is True
        if not ticket and not any(after.values()):
            what = "`silence` says nothing of when."
            self.report.error(
                ("silence",), "PB409", what, "Write after_reply, after_call, or open_ticket: true."
            )
            return None
        return Silence(open_ticket=ticket, critical_passes=given.get("critical") == "passes", **after)

    def churn(self) -> ChurnPolicy:
        # What reading the YAML found is known by its path alone.
        if any(problem.path.startswith("churn") for problem in self.report.problems):
            return ChurnPolicy()
        given = self.mapping("churn")
        prevention = given.get("prevention", {})
        said = {
            "horizon_days": int(given["horizon"].removesuffix("d")) if "horizon" in given else None,
            "lifetime_months": given.get("lifetime_months"),
            "prevention_limit": prevention.get("limit"),
        }
        share = self.form(PERCENT, prevention.get("share"), ("churn", "prevention", "share"))
        said["prevention_share"] = share / 100 if share is not None else None
        return ChurnPolicy(
            market=tuple(self.market(given.get("market", []))),
            **{name: value for name, value in said.items() if value is not None},
        )

    def market(self, rows: list[dict[str, Any]]) -> list[MarketRow]:
        seen: dict[tuple[str | None, int | None], int] = {}
        made = []
        for index, given in enumerate(rows):
            path = ("churn", "market", index)
            row = MarketRow(**given)
            if row.competitor_activity is None and row.seasonal_factors is None:
                hint = "Write `seasonal_factors: 0.4`, `competitor_activity: 0.1`, or both."
                self.report.error(path, "PB404", f"Item {index + 1} of `market` says nothing.", hint)
            elif (first := seen.setdefault((row.vendor_type, row.month), index)) != index:
                what = f"Item {index + 1} of `market` is about the same trade and month as item {first + 1}."
                self.report.error(path, "PB405", what, "Keep one of them.")
            made.append(row)
        return made

    def health_model(self) -> str:
        name = self.data.get("health_model")
        if not isinstance(name, str):
            return DEFAULT_MODEL
        if self.health_models is not None and name not in self.health_models:
            hint = did_you_mean(name, self.health_models, otherwise=f"Write it as health/{name}.yaml.")
            self.report.error(("health_model",), "PB403", f"There is no health model `{name}`.", hint)
        return name

    def teams(self) -> dict[str, Team]:
        if self.report.has_fault_within(("teams",)):
            return {}
        found: dict[str, Team] = {}
        for name, given in self.mapping("teams").items():
            for index, person in enumerate(given.get("away", [])):
                if person not in given["members"]:
                    what = f"`{person}` is away, and no member of `{name}`."
                    hint = did_you_mean(person, given["members"], otherwise="Add them to `members`.")
                    self.report.error(("teams", name, "away", index), "PB406", what, hint)
            if given.get("unowned") and (first := next((n for n, t in found.items() if t.unowned), None)):
                what = f"Work for customers without a CSM comes to `{first}` already."
                self.report.error(("teams", name, "unowned"), "PB407", what, "Keep one of the two.")
            found[name] = Team.model_validate(given)
        return found

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
        made: dict[str, Any] = {"between": between} if between else {}
        if isinstance(given.get("holidays"), str):
            made["holidays"] = given["holidays"]
        days = given.get("days")
        if days is not None and not self.report.has_fault_within(("working_hours", "days")):
            return WorkingHours(weekdays=parse_days(days), **made)
        return WorkingHours(**made)
