"""Message templates (`playbooks/templates/NAME.yaml`), and the checks of a message's texts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import Problem
from schemas.language import Language
from schemas.message_part import CHANNEL_PARTS, HTML_PARTS
from schemas.problem import Report, did_you_mean
from schemas.shape import report_shape
from schemas.template import TemplateFault, check_part
from schemas.yaml_source import Path, Source

# What each channel can't do without.
REQUIRED_PARTS = {
    "email": ("subject",), "sms": ("text",), "push": ("title", "text"), "in_app": ("title", "text"),
    "whatsapp": ("content_sid",), "voice": ("text",),
}  # fmt: skip


@dataclass(frozen=True)
class MessageTemplate:
    """One template: channel -> part -> text or {text, default}; `broken` where its file has errors."""

    name: str
    channels: Mapping[str, Mapping[str, Any]]
    broken: bool = False

    def find_fault(self, part: Any, known: Mapping[str, Collection[str]], name: str) -> TemplateFault | None:
        """The first thing in a part's text that isn't among the `known` names."""
        for text in _texts_of(part):
            if "steps" in text:
                for fault in check_part(text, known=known, html=name in HTML_PARTS):
                    return fault
        return None


def read_template(
    source: Source, language: Language, name: str, problems: list[Problem]
) -> tuple[MessageTemplate | None, list[Problem]]:
    """Check one template file; `name` is its file's, `problems` what reading the YAML found.

    The template is None where there are errors.
    """
    report = Report(source, problems)
    report_shape(report, language.template_validator)
    data = source.data if isinstance(source.data, dict) else {}
    written = data.get("template")
    if isinstance(written, str) and written != name:
        what = f"The template calls itself `{written}`, and its file `{name}`."
        report.error(("template",), "PB307", what, f"Write `template: {name}`, or rename the file.")
    channels = {key: value for key, value in data.items() if key in CHANNEL_PARTS and isinstance(value, dict)}
    if not any(key in CHANNEL_PARTS for key in data) and not report.failed:
        report.error(
            ("template",),
            "PB305",
            "The template has no channel.",
            "Write `email:` and its parts below.",
            key=True,
        )
    for channel, parts in channels.items():
        check_parts(report, channel, parts, (channel,))
        for part, text in parts.items():
            texts = text.items() if part == "variables" and isinstance(text, dict) else [(None, text)]
            for key, value in texts:
                where = (channel, part) if key is None else (channel, part, key)
                if part != "content_sid":
                    check_text(report, value, where, language.template_names, html=part in HTML_PARTS)
    return (None if report.failed else MessageTemplate(name, channels)), report.problems


def _texts_of(part: Any) -> Iterator[str]:
    """The texts of a part: it is one, or {text, default}, or a mapping of names to such."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from _texts_of(value)


def check_parts(report: Report, channel: str, parts: Mapping[str, Any], path: Path) -> None:
    """Whether a message has what its channel can't do without."""
    for part in REQUIRED_PARTS.get(channel, ()):
        if part not in parts:
            code = "PB303" if part == "subject" else "PB305"
            what = (
                "An e-mail needs a subject."
                if part == "subject"
                else f"A message by {channel} needs `{part}`."
            )
            slip = did_you_mean(part, [key for key in parts if key not in CHANNEL_PARTS[channel]])
            if not slip.startswith("Did you mean"):
                report.error((*path, part), code, what, f"Write `{part}:` below `{channel}:`.", key=True)
    if (
        channel == "email"
        and "text" not in parts
        and "html" not in parts
        and not report.has_fault_within(path)
    ):
        report.error(
            (*path, "text"), "PB305", "The e-mail says nothing.", "Write `text:`, `html:` or both.", key=True
        )


def check_text(
    report: Report, part: Any, path: Path, known: Mapping[str, Collection[str]], *, html: bool
) -> None:
    """Report every fault of a part's text, and of its default, at its place in the file."""
    if isinstance(part, dict):
        for key in ("text", "default"):
            if isinstance(part.get(key), str):
                check_text(report, part[key], (*path, key), known, html=html)
        return
    if not isinstance(part, str) or report.is_faulty(path):
        return
    if "{" not in part:
        return  # without a brace Jinja2 finds nothing to do
    for fault in check_part(part, known=known, html=html):
        line, column = report.source.text_place(path, fault.line, fault.column)
        message = fault.message[:1].upper() + fault.message[1:].rstrip(".") + "."
        hint = fault.hint[:1].upper() + fault.hint[1:]
        hint += "" if not hint or hint.endswith((".", "?")) else "."
        report.at(line, column, path, "PB306", message, hint)
