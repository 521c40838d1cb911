"""Marking customers: what a step says of one goes the way of what services say, so that conditions see it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio import activity

from activities.mark import MarkArguments
from activities.messages import context_of
from activities.rewards import SOURCE
from activities.steps import StepOpening, note
from activities.texts import render_arguments
from channels.rendering import RenderError
from schemas.incoming import IncomingEvent
from schemas.run import StepCall, StepResult
from store.deliveries import delivery_id
from store.intake import take_within


class Marks:
    """Sets tags and attributes for runs."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Mark.set")
    async def set(self, call: StepCall) -> StepResult:
        """Set what this step says: outcome `set`, or `failed` where a text can't be made."""
        async with self._database.transaction() as connection:
            begun = await self._opening.open_act(connection, call)
            if isinstance(begun, StepResult):
                return begun
            opened, step = begun
            try:
                args = render_arguments(MarkArguments, step.args, await context_of(connection, opened))
            except RenderError as error:
                await note(connection, call, step.word, "failed", opened.now, error.message)
                return StepResult(outcome="failed", at=opened.now, detail="template")
            told = ", ".join(_tell(args))
            if opened.run.arm == "shadow":
                return await note(connection, call, step.word, "shadow", opened.now, told, private=True)
            traits = traits_of(args, opened.known.facts.signals)
            # Set by somebody whose clock is ahead, a value would outlive what is set now.
            stamps = opened.known.stored.stamps
            at = max([opened.now, *(stamps[name] for name in traits if name in stamps)])
            event = IncomingEvent(
                SOURCE, f"set/{delivery_id(call.run_id, call.step, call.occurrence)}",
                opened.known.customer.external_id, "identify", at, opened.now, at.date(), {}, traits,
            )  # fmt: skip
            await take_within(connection, [event], move=self._opening.move)
            result = await note(connection, call, step.word, "set", opened.now, told, private=True)
        self._opening.evaluation.ring()
        return result


def traits_of(args: Mapping[str, Any], signals: Mapping[str, Any]) -> dict[str, Any]:
    """The traits of an identify call: attributes as they stand in `args`, and the tags with one more or less."""
    traits: dict[str, Any] = dict(args.get("attributes") or {})
    if args.get("tag") or args.get("untag"):
        known = signals.get("tags")
        tags = [tag for tag in known if tag != args.get("untag")] if isinstance(known, tuple | list) else []
        if args.get("tag") and args["tag"] not in tags:
            tags.append(args["tag"])
        traits["tags"] = tags
    return traits


def _tell(args: dict[str, Any]) -> list[str]:
    told = [f"tag {args['tag']}"] if args.get("tag") else []
    told += [f"no tag {args['untag']}"] if args.get("untag") else []
    return told + [f"{name}: {value}" for name, value in (args.get("attributes") or {}).items()]
