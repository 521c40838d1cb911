"""Steps of registered types: their arguments, messages and texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from schemas.compilation import Compilation
from schemas.condition import AllOf
from schemas.entry_compiler import compile_send, merge_send
from schemas.form import FormError
from schemas.message_part import CHANNEL_PARTS, HTML_PARTS, Part
from schemas.outcome_compiler import OutcomeCompiler
from schemas.plan import Act, SendWindow
from schemas.problem import did_you_mean, join_words
from schemas.step_place import StepList
from schemas.step_type import StepType
from schemas.template_file import MessageTemplate, check_parts, check_text
from schemas.yaml_source import Path

NO_STEPS = ("",)  # a name that can't be written: no steps are known


class ActCompiler:
    """Compiles the steps whose words are registered step types."""

    def __init__(self, compilation: Compilation, outcomes: OutcomeCompiler, send: SendWindow | None) -> None:
        self.compilation = compilation
        self.report = compilation.report
        self.outcomes = outcomes
        self.send = send
        self._texts: list[tuple[Any, Path, bool]] = []
        self._template_uses: list[tuple[MessageTemplate, str, Path]] = []

    def compile(
        self,
        word: str,
        step_id: str,
        data: dict[str, Any],
        path: Path,
        at: tuple[StepList, int],
        guard: AllOf | None,
    ) -> Act | None:
        """One step; None where its arguments can't be read."""
        step_type = self.compilation.language.step_types[word]
        own_send = self._own_send(step_type, data, path)
        reactions = self.outcomes.for_type(step_type, data, path, at)
        where: Path = (*path, word)
        args = self._arguments(step_type, data, path)
        if args is None:
            return None
        send = merge_send(own_send, self.send) if step_type.channel else None
        if send and send.topic and "topic" in step_type.arguments.model_fields:
            args.setdefault("topic", send.topic)
        if step_type.channel and not self.report.is_faulty(where):
            self._check_message(step_type.channel, args, where, shorthand=not isinstance(data[word], dict))
        self._note_texts(step_type, args, where)
        return Act(
            id=step_id, word=word, activity=step_type.activity, sends=step_type.sends, args=args, guard=guard,
            human=step_type.human, outcomes=reactions, send=send,
        )  # fmt: skip

    def check_texts(self, step_ids: Collection[str]) -> None:
        """Check every text that was met, now that the ids of all steps are known."""
        known = {**self.compilation.language.template_names, "steps": sorted(step_ids) or NO_STEPS}
        for text, path, html in self._texts:
            check_text(self.report, text, path, known, html=html)
        for template, channel, path in self._template_uses:
            self._check_steps_used(template, channel, path, known["steps"])

    def _own_send(self, step_type: StepType, data: dict[str, Any], path: Path) -> SendWindow | None:
        if "send" in data and not step_type.channel:
            hint = "It goes with a message."
            self.report.error(
                (*path, "send"), "PB109", f"`send` doesn't go with `{step_type.word}`.", hint, key=True
            )
        return compile_send(data, path, self.compilation)

    def _arguments(self, step_type: StepType, data: dict[str, Any], path: Path) -> dict[str, Any] | None:
        where: Path = (*path, step_type.word)
        given = data[step_type.word]
        if not isinstance(given, dict):
            given = {step_type.shorthand: given} if step_type.shorthand else {}
        for key in ("critical", "topic"):
            if key not in data:
                continue
            if key not in step_type.arguments.model_fields:
                what = f"`{key}` doesn't go with `{step_type.word}`."
                self.report.error((*path, key), "PB109", what, "It goes with a message.", key=True)
            elif key in given:
                what = f"`{key}` stands here and under `{step_type.word}`."
                self.report.error((*path, key), "PB109", what, "Keep one of the two.", key=True)
            else:
                given = {**given, key: data[key]}
        if self.report.has_fault_within(where) or any(self.report.is_faulty((*path, key)) for key in given):
            return None
        try:
            arguments = step_type.arguments.model_validate(given)
        except ValidationError as error:
            for fault in error.errors():
                self._report_argument(fault, where)
            return None
        return arguments.model_dump(mode="json", exclude_none=True)

    def _report_argument(self, fault: Any, where: Path) -> None:
        path = (*where, *(part for part in fault["loc"] if part not in ("str", "DefaultedText")))
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, FormError):
            self.report.form_error(path, "PB104", cause)
            return
        message = fault["msg"].removeprefix("Value error, ").rstrip(".") + "."
        self.report.error(path, "PB104", message, "The editor shows what may stand here.")

    def _check_message(self, channel: str, args: dict[str, Any], path: Path, *, shorthand: bool) -> None:
        parts = {name: args[name] for name in CHANNEL_PARTS[channel] if name in args}
        name = args.get("template")
        if name is None:
            if not parts:
                what, hint = (
                    f"This {channel} says nothing.",
                    f"Name a template ({channel}: NAME), or write its parts.",
                )
                self.report.error(path, "PB305", what, hint, key=True)
            else:
                check_parts(self.report, channel, parts, path)
            return
        if parts:
            what = (
                f"A message has a template or its own parts, and this has `template` and {join_words(parts)}."
            )
            self.report.error((*path, next(iter(parts))), "PB304", what, "Keep one of the two.", key=True)
            return
        self._use_template(name, channel, path if shorthand else (*path, "template"))

    def _use_template(self, name: str, channel: str, path: Path) -> None:
        templates = self.compilation.templates
        if name not in templates:
            known = [key for key, template in templates.items() if channel in template.channels]
            hint = did_you_mean(name, known, otherwise=f"Create playbooks/templates/{name}.yaml.")
            self.report.error(path, "PB301", f"There is no template `{name}`.", hint)
            return
        template = templates[name]
        if template.broken:
            self.compilation.waits_for.add(name)
            return
        if channel not in template.channels:
            has = f"It has {', '.join(template.channels)}."
            what = f"The template `{name}` has no `{channel}`."
            self.report.error(
                path, "PB302", what, f"{has} Add `{channel}:` to playbooks/templates/{name}.yaml."
            )
            return
        self.compilation.used.setdefault(name, {})[channel] = dict(template.channels[channel])
        self._template_uses.append((template, channel, path))

    def _note_texts(self, step_type: StepType, args: dict[str, Any], where: Path) -> None:
        for name, field in step_type.arguments.model_fields.items():
            if field.annotation in (Part, Part | None) and name in args:
                self._texts.append((args[name], (*where, field.alias or name), name in HTML_PARTS))

    def _check_steps_used(
        self, template: MessageTemplate, channel: str, path: Path, step_ids: Collection[str]
    ) -> None:
        """A template is checked in its own file; which steps there are differs by playbook."""
        for part, text in template.channels[channel].items():
            fault = template.find_fault(
                text, {**self.compilation.language.template_names, "steps": step_ids}, part
            )
            if fault:
                what = f"The template `{template.name}` doesn't fit here: {fault.message.rstrip('.')}."
                hint = f"Give the step that id, or leave it out of the template's {part}."
                self.report.error(path, "PB306", what, hint)
