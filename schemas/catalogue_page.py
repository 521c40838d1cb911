"""docs/signals.md, written from the catalogue so that it can't fall behind it."""

from __future__ import annotations

from schemas.catalogue import Catalogue, Signal
from schemas.derivation import Derivation

_INTRO = """# Signals

What Holdfast knows of a customer. This page is generated from `schemas/signals.yaml`; change that file, then
write the page again with `python -m schemas.catalogue_page > docs/signals.md`.

- Windows (`_30d`) are whole UTC days, today included. `days_since_…` and `…_age_days` are whole days elapsed,
  rounded down.
- A signal that has no value is missing: a comparison with it is unknown, and nobody is treated because of it.
  Counts are 0, not missing, when nothing happened.
- *Learning*: a churn model may learn from it. *Personal*: conditions may only ask whether it is there.
- An identify call brings a trait under any of the names given; its time decides against events that set
  the same signal. Values of the wrong type change nothing.
"""


def render_catalogue(catalogue: Catalogue) -> str:
    """The page as Markdown, ending with a newline."""
    lines = [_INTRO]
    for group in dict.fromkeys(signal.group for signal in catalogue.signals.values()):
        lines += [
            f"## {group.capitalize()}",
            "",
            "| signal | type | meaning | comes from | use |",
            "|---|---|---|---|---|",
        ]
        members = (signal for signal in catalogue.signals.values() if signal.group == group)
        lines += [_row(signal) for signal in members]
        lines.append("")
    lines += ["## Core events", ""]
    lines += ["Any other event is stored and can be counted in conditions too.", ""]
    lines += ["| event | meaning | counted per day |", "|---|---|---|"]
    for name, kind in catalogue.events.items():
        kept = (
            f"by `{kind.detail}`"
            if kind.detail
            else f"with the sum of `{kind.measure}`"
            if kind.measure
            else ""
        )
        lines.append(f"| `{name}` | {kind.about} | {kept} |")
    lines += ["", "## Core features", "", ", ".join(f"`{name}`" for name in catalogue.core_features), ""]
    return "\n".join(lines)


def _row(signal: Signal) -> str:
    kind = f"{signal.type}, {signal.unit}" if signal.unit else signal.type
    if signal.values:
        kind += ": " + ", ".join(signal.values)
    sources = "; ".join(_describe(form) for form in signal.derive) or "set from outside"
    uses = [word for word, holds in (("learning", signal.learning), ("personal", signal.personal)) if holds]
    if not signal.playbooks:
        uses.append("not in playbooks")
    return f"| `{signal.name}` | {kind} | {signal.about} | {sources} | {', '.join(uses)} |"


def _describe(form: Derivation) -> str:
    if form.total:
        less = f", less {_names(form.total.minus)}" if form.total.minus else ""
        amount = f", each counting its `{form.total.amount}`" if form.total.amount else ""
        where = "".join(f" with `{key}` {str(value).lower()}" for key, value in form.total.where.items())
        return f"number of {_names(form.total.events)}{where}{less}{amount}"
    if form.latest:
        return f"time of the last {_names(form.latest.events)}"
    if form.from_property:
        among = f", if it is {' or '.join(form.from_property.among)}" if form.from_property.among else ""
        return f"`{form.from_property.name}` of the last `{form.from_property.event}`{among}"
    if form.trait:
        return f"trait {_names(form.trait)}"
    if form.constant:
        return ", ".join(f"`{event}` sets {value}" for event, value in form.constant.items())
    if form.age_of:
        return f"days since `{form.age_of}`"
    if form.count:
        return f"{_names(form.count.events)} in {form.count.days} days"
    if form.days_with:
        return f"days of {form.days_with.days} with {_names(form.days_with.events)}"
    if form.mean:
        return f"mean of `{form.mean.event}` in {form.mean.days} days"
    if form.distinct:
        least = form.distinct.at_least_days
        days = f", each on at least {least} days" if least > 1 else ""
        core = ", core features only" if form.distinct.core else ""
        return f"different ones in `{form.distinct.event}` in {form.distinct.days} days{days}{core}"
    if form.recent:
        return f"the last {form.recent.keep} in `{form.recent.event}` in {form.recent.days} days"
    if form.drop_percent:
        window = form.drop_percent.days
        return f"{_names(form.drop_percent.events)}: the last {window} days against the {window} before"
    return f"the {form.model} model"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    import sys

    from schemas.catalogue import load_catalogue

    sys.stdout.write(render_catalogue(load_catalogue()))
