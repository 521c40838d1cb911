"""Steps of registered types: their arguments, messages and texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from schemas.argument import find_arguments
from schemas.compilation import Compilation
from schemas.condition import AllOf
from schemas.entry_compiler import compile_send, merge_send
from schemas.form import FormError
from schemas.message_part import CHANNEL_PARTS, is_message
from schemas.outcome_compiler import OutcomeCompiler
from schemas.plan import Act, SendWindow
from schemas.problem import did_you_mean, join_words
from schemas.reference import Named
from schemas.step_place import StepList
from schemas.step_type import StepType
from schemas.template_file import MessageTemplate, check_parts, check_text
from schemas.yaml_source import Path, format_path

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
        # Playbooks and teams that steps name, to be looked for once all files are known.
        self.named: list[Named] = []

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
        message = is_message(step_type.channel, step_type.outcomes)
        send = merge_send(own_send, self.send) if message else None
        if send and send.topic and "topic" in step_type.arguments.model_fields:
            args.setdefault("topic", send.topic)
        if message and not self.report.is_faulty(where):
            self._check_message(step_type, args, where, shorthand=not isinstance(data[word], dict))
        self._note_arguments(step_type, args, where, shorthand=not isinstance(data[word], dict))
        return Act(
            id=step_id, word=word, activity=step_type.activity, args=args, guard=guard, human=step_type.human,
            sends=step_type.sends or step_type.carry_out is not None, outcomes=reactions, send=send,
        )  # fmt: skip

    def check_texts(self, step_ids: Collection[str]) -> None:
        """Check every text that was met, now that the ids of all steps are known."""
        known = {**self.compilation.language.template_names, "steps": sorted(step_ids) or NO_STEPS}
        for text, path, html in self._texts:
            check_text(self.report, text, path, known, html=html)
        for template, channel, path in self._template_uses:
            self._check_steps_used(template, channel, path, known["steps"])

    def _own_send(self, step_type: StepType, data: dict[str, Any], path: Path) -> SendWindow | None:
        if "send" in data and not is_message(step_type.channel, step_type.outcomes):
            hint = "It goes with a message."
            self.report.error(
                (*path, "send"), "PB109", f"`send` doesn't go with `{step_type.word}`.", hint, key=True
            )
        return compile_send(data, path, self.compilation)

    def _arguments(self, step_type: StepType, data: dict[str, Any], path: Path) -> dict[str, Any] | None:
        where: Path = (*path, step_type.word)
        given = data[step_type.word]
        if not isinstance(given, dict):
            given = {_written(step_type, step_type.shorthand): given} if step_type.shorthand else {}
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
        path, value = where, self.report.source.data
        for part in where:
            value = value[part]
        for part in fault["loc"]:
            # Pydantic names the forms that it tried, too: only what stands in the file leads somewhere.
            if isinstance(value, (dict, list)) and not isinstance(part, tuple):
                inside = part in value if isinstance(value, dict) else isinstance(part, int)
                if inside:
                    path, value = (*path, part), value[part]
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, FormError):
            self.report.form_error(path, "PB104", cause)
            return
        message = fault["msg"].removeprefix("Value error, ").rstrip(".") + "."
        self.report.error(path, "PB104", message, "The editor shows what may stand here.")

    def _check_message(
        self, step_type: StepType, args: dict[str, Any], path: Path, *, shorthand: bool
    ) -> None:
        channel = step_type.channel if step_type.channel in CHANNEL_PARTS else None
        name = args.get("template")
        parts = {part: args[part] for part in CHANNEL_PARTS.get(channel or "", ()) if part in args}
        if name is None:
            if parts and channel:
                check_parts(self.report, channel, parts, path)
            elif channel:
                what = f"This {channel} says nothing."
                hint = f"Name a template ({channel}: NAME), or write its parts."
                self.report.error(path, "PB305", what, hint, key=True)
            return
        if parts:
            what = (
                f"A message has a template or its own parts, and this has `template` and {join_words(parts)}."
            )
            self.report.error((*path, next(iter(parts))), "PB304", what, "Keep one of the two.", key=True)
            return
        where = path if shorthand else (*path, "template")
        template = self._find_template(name, (channel,) if channel else tuple(CHANNEL_PARTS), where)
        if template and channel:
            self._use_template(template, channel, where)
        elif template:
            self._use_any_channel(template, args.get("channels"), where, (*path, "channels"))

    def _find_template(self, name: str, channels: tuple[str, ...], path: Path) -> MessageTemplate | None:
        templates = self.compilation.templates
        if name not in templates:
            known = [key for key, template in templates.items() if template.channels.keys() & set(channels)]
            hint = did_you_mean(name, known, otherwise=f"Create playbooks/templates/{name}.yaml.")
            self.report.error(path, "PB301", f"There is no template `{name}`.", hint)
            return None
        if templates[name].broken:
            self.compilation.waits_for.add(name)
            return None
        return templates[name]

    def _use_template(self, template: MessageTemplate, channel: str, path: Path) -> None:
        if channel not in template.channels:
            has = f"It has {', '.join(template.channels)}."
            what = f"The template `{template.name}` has no `{channel}`."
            hint = f"{has} Add `{channel}:` to playbooks/templates/{template.name}.yaml."
            self.report.error(path, "PB302", what, hint)
            return
        self.compilation.used.setdefault(template.name, {})[channel] = dict(template.channels[channel])
        self._template_uses.append((template, channel, path))

    def _use_any_channel(self, template: MessageTemplate, channels: Any, path: Path, listed: Path) -> None:
        """A message over the best of several channels: what the template has no part for can't be chosen."""
        wanted = list(channels) if channels else list(CHANNEL_PARTS)
        usable = [channel for channel in wanted if channel in template.channels]
        if not usable:
            has = f"It has {', '.join(template.channels)}."
            what = f"The template `{template.name}` has none of the channels {join_words(wanted, 'and')}."
            self.report.error(path, "PB302", what, f"{has} Add one of them to its file.")
            return
        for index, channel in enumerate(wanted if channels else ()):
            if channel not in usable:
                what = f"The template `{template.name}` has no `{channel}`, so that it is never chosen."
                hint = f"Add `{channel}:` to playbooks/templates/{template.name}.yaml, or leave it out here."
                self.report.warn((*listed, index), "PB302", what, hint)
        for channel in usable:
            self._use_template(template, channel, path)

    def _note_arguments(
        self, step_type: StepType, args: dict[str, Any], where: Path, *, shorthand: bool
    ) -> None:
        """Keep texts for when all ids are known, and look up what arguments name."""
        plain = _written(step_type, step_type.shorthand) if shorthand else None
        for found in find_arguments(step_type.arguments, args):
            inside = found.path[1:] if found.path[0] == plain else found.path
            path = (*where, *inside)
            if found.kind in ("text", "html"):
                self._texts.append((found.value, path, found.kind == "html"))
            elif not isinstance(found.value, str) or self.report.is_faulty(path):
                continue
            elif found.kind in ("playbook", "team"):
                line, column = self.report.source.place(path)
                self.named.append(Named(found.value, format_path(path), line, column, kind=found.kind))
            else:
                self.compilation.check_signal(found.value, path)

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


def _written(step_type: StepType, argument: str | None) -> str:
    """An argument's name as files write it."""
    field = step_type.arguments.model_fields[argument] if argument else None
    return (field.alias if field else None) or argument or ""
