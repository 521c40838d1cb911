"""What the compilers of one playbook share: its problems, the language, its conditions, its texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from schemas.condition import AllOf
from schemas.condition_parser import ConditionParser
from schemas.form import AGAIN, CLOCK, DAILY, DURATION, PERCENT, WINDOW, Form, FormError
from schemas.language import Language
from schemas.problem import Report, did_you_mean
from schemas.template_file import MessageTemplate
from schemas.yaml_source import Path

__all__ = ["AGAIN", "CLOCK", "DAILY", "DURATION", "PERCENT", "WINDOW", "Compilation"]

T = TypeVar("T")


class Compilation:
    """One playbook while it is compiled.

    Readers take what fits and say nothing of what doesn't: the shape was reported before. What is missing
    comes out as None, and a playbook with any error is no plan at all.
    """

    def __init__(self, report: Report, language: Language, templates: Mapping[str, MessageTemplate]) -> None:
        self.report = report
        self.language = language
        self.templates = templates
        self.conditions = ConditionParser(report, language.catalogue)
        # Template name -> channel -> parts, of the templates that are used.
        self.used: dict[str, dict[str, dict[str, Any]]] = {}
        # Templates whose files have errors: told there, and this playbook has to wait for them.
        self.waits_for: set[str] = set()

    def condition(self, data: Mapping[str, Any], key: str, path: Path) -> AllOf | None:
        """The condition under `key`, where there is one."""
        return self.conditions.parse(data[key], (*path, key)) if key in data else None

    def form(self, form: Form[T], data: Mapping[str, Any], key: str, path: Path) -> T | None:
        """The textual form under `key`, where there is one that can be read."""
        value = data.get(key)
        if not isinstance(value, str) or self.report.is_faulty((*path, key)):
            return None
        try:
            return form.parse(value)
        except FormError as error:
            self.report.form_error((*path, key), "PB104", error)
            return None

    def check_signal(self, name: str, path: Path) -> None:
        """Report a `name` at `path` that is no signal of the catalogue."""
        signals = self.language.catalogue.signals
        if name not in signals:
            hint = did_you_mean(name, signals, otherwise="`schemas/signals.yaml` lists all signals.")
            self.report.error(path, "PB201", f"There is no signal `{name}`.", hint)

    def text(self, data: Mapping[str, Any], key: str, default: str = "") -> str:
        """The text under `key`."""
        value = data.get(key)
        return value if isinstance(value, str) else default

    def whole(self, data: Mapping[str, Any], key: str, default: int) -> int:
        """The whole number under `key`."""
        value = data.get(key)
        return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def mapping_at(data: Any, key: str) -> dict[str, Any] | None:
    """The mapping under `key`, where there is one."""
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else None


def listed(data: dict[str, Any], key: str) -> list[Any]:
    """The list under `key`, or none."""
    value = data.get(key)
    return value if isinstance(value, list) else []
