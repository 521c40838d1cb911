"""From a mapping of a playbook to the typed tree of `schemas.condition`, checked against the catalogue.

The forms: section Conditions of docs/playbooks. Whatever can't be meant is refused here, with what to write
instead; what is parsed is decided by `rules` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.catalogue import Catalogue
from schemas.condition import AllOf, AnyOf, Condition, EventCount, NoneOf, Presence
from schemas.condition_form import FORM_KEYS, read_duration
from schemas.condition_value import Subject, parse_expectation
from schemas.plan import EventMatch
from schemas.problem import Report, did_you_mean, join_words, kind_of, nearest
from schemas.yaml_source import Path, format_path

GROUPS = ("any", "all", "none")
_OTHER_WORDS = {
    "not": "Write `none:`.", "and": "Write `all:`.", "or": "Write `any:`.", "events": "Write `event:`.",
    "when": "The signals stand here directly.", "if": "The signals stand here directly.",
}  # fmt: skip
EVENT_KEYS = ("name", "at_least", "within", "where")


class ConditionParser:
    """Parses the conditions of one file; problems go to `report`, names used to `signals` and `events`."""

    def __init__(self, report: Report, catalogue: Catalogue) -> None:
        self.report = report
        self.catalogue = catalogue
        self.signals: set[str] = set()
        self.events: set[str] = set()

    def parse(self, value: Any, path: Path) -> AllOf | None:
        """The condition at `path`, or None where it has no part that can be read."""
        return self._mapping(value, path, properties=False)

    def parse_event(self, value: Any, path: Path) -> EventMatch | None:
        """An event by name and properties, without a count (goal, exit, wait_for)."""
        if not self._is_event(value, path, ("name", "where")):
            return None
        where = self._where(value, path)
        name = self._event_name(value, path)
        return EventMatch(name=name, where=where) if name else None

    def _mapping(self, value: Any, path: Path, *, properties: bool) -> AllOf | None:
        if not isinstance(value, dict):
            what = "lines such as `plan: pro`"
            hint = 'Write a mapping of signal to expectation, as in {health_score: "< 40"}.'
            if isinstance(value, list):
                hint = "Take the dashes away; to let one of several hold, put the list under `any:`."
            self.report.error(
                path, "PB101", f"A condition consists of {what}, and this is {kind_of(value)}.", hint
            )
            return None
        if not value:
            self.report.error(
                path, "PB206", "This condition is empty.", "Write at least one line, or leave it out."
            )
            return None
        items = [self._line(key, item, (*path, key), properties) for key, item in value.items()]
        kept = tuple(item for item in items if item is not None)
        return AllOf(path=format_path(path), line=self._line_of(path), items=kept) if kept else None

    def _line(self, key: str, value: Any, path: Path, properties: bool) -> Condition | None:
        if key in GROUPS:
            return self._group(key, value, path, properties)
        if properties:
            return parse_expectation(Subject(key, None), value, path, self.report)
        if key == "event":
            return self._event_count(value, path)
        return self._signal(key, value, path)

    def _group(self, key: str, value: Any, path: Path, properties: bool) -> Condition | None:
        if not isinstance(value, list):
            hint = f"Write a list: `{key}:` and below it lines that begin with `- `."
            self.report.error(
                path, "PB101", f"`{key}` takes a list of conditions, and this is {kind_of(value)}.", hint
            )
            return None
        if not value:
            self.report.error(
                path, "PB206", f"`{key}` is empty.", "Write at least one condition, or leave it out."
            )
            return None
        parsed = [
            self._mapping(item, (*path, index), properties=properties) for index, item in enumerate(value)
        ]
        items = tuple(item for item in parsed if item is not None)
        kinds: Mapping[str, type[AllOf] | type[AnyOf] | type[NoneOf]] = {
            "any": AnyOf,
            "all": AllOf,
            "none": NoneOf,
        }
        return kinds[key](path=format_path(path), line=self._line_of(path), items=items) if items else None

    def _signal(self, name: str, value: Any, path: Path) -> Condition | None:
        signal = self.catalogue.signals.get(name)
        if signal is None:
            self.report.error(
                path, "PB201", f"There is no signal `{name}`.", self._unknown_hint(name), key=True
            )
            return None
        if not signal.playbooks:
            hint = "`playbooks: true` in the signal catalogue would allow it."
            self.report.error(path, "PB202", f"`{name}` is not for playbooks.", hint, key=True)
            return None
        self.signals.add(name)
        node = parse_expectation(Subject(name, signal), value, path, self.report)
        if signal.personal and node is not None and not isinstance(node, Presence):
            what = f"`{name}` is personal: conditions may ask only whether it is there."
            self.report.error(path, "PB202", what, "Write {is: present} or {is: missing}.")
            return None
        return node

    def _unknown_hint(self, name: str) -> str:
        if name in FORM_KEYS:
            return f"`{name}` stands inside a signal's own mapping, as in last_login: {{older_than: 7d}}."
        if name in self.catalogue.events:
            return f"It is an event: write event: {{name: {name}}}."
        if name in _OTHER_WORDS:
            return _OTHER_WORDS[name]
        return did_you_mean(
            name,
            [*self.catalogue.signals, *GROUPS, "event"],
            otherwise="`schemas/signals.yaml` lists all signals.",
        )

    def _event_count(self, value: Any, path: Path) -> Condition | None:
        if not self._is_event(value, path, EVENT_KEYS):
            return None
        at_least = value.get("at_least", 1)
        if isinstance(at_least, bool) or not isinstance(at_least, int) or at_least < 1:
            what = f"`at_least` is a whole number from 1, and this is {kind_of(at_least)}."
            hint = "For no such event at all, put it under `none:`." if at_least == 0 else ""
            self.report.error((*path, "at_least"), "PB104", what, hint)
            at_least = 1
        within = None
        if "within" in value:
            within = read_duration(value["within"], (*path, "within"), self.report)
        where = self._where(value, path)
        name = self._event_name(value, path)
        if name is None:
            return None
        return EventCount(
            path=format_path(path), line=self._line_of(path), name=name,
            at_least=at_least, within_seconds=within, where=where,
        )  # fmt: skip

    def _is_event(self, value: Any, path: Path, keys: tuple[str, ...]) -> bool:
        if not isinstance(value, dict):
            hint = f"Write {{name: {value}}}." if isinstance(value, str) else "Write {name: payment_failed}."
            if isinstance(value, list):
                hint = "Put several events under `all:` or `any:`, each as its own `event:`."
            self.report.error(
                path, "PB101", f"An event is a mapping with a name, and this is {kind_of(value)}.", hint
            )
            return False
        for key in value:
            if key not in keys:
                hint = did_you_mean(key, keys)
                if key in EVENT_KEYS:
                    hint = "Here one event is enough; count events in a condition under `when:`."
                elif not nearest(key, keys):
                    hint = f"Conditions on the event's properties stand under `where:`. {hint}"
                self.report.error((*path, key), "PB102", f"An event has no `{key}`.", hint, key=True)
        return True

    def _event_name(self, value: Any, path: Path) -> str | None:
        name = value.get("name")
        if not isinstance(name, str) or not name.strip():
            if "name" in value:
                what = f"The name of an event is text, and this is {kind_of(name)}."
                self.report.error((*path, "name"), "PB101", what, "Put it in quotes.")
            elif not any(nearest(key, ["name"]) for key in value if key not in EVENT_KEYS):
                hint = "Write {name: payment_failed}."
                self.report.error((*path, "name"), "PB103", "The event has no `name`.", hint, key=True)
            return None
        self.events.add(name)
        close = nearest(name, self.catalogue.events) if name not in self.catalogue.events else []
        if close:
            what = f"`{name}` is not among the core events."
            self.report.warn((*path, "name"), "PB219", what, f"Did you mean {join_words(close)}?")
        return name

    def _where(self, value: Any, path: Path) -> AllOf | None:
        if "where" not in value:
            return None
        return self._mapping(value["where"], (*path, "where"), properties=True)

    def _line_of(self, path: Path) -> int:
        return self.report.source.key_place(path)[0]
