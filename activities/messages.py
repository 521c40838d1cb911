"""Making a message of a step: which parts it has, and what its template may speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.steps import Opened
from channels.rendering import render_email, render_in_app, render_sms
from schemas.plan import Act, CompiledPlaybook
from store.database import Connection
from store.runs import load_steps

Context = Mapping[str, Any]


async def context_of(connection: Connection, opened: Opened) -> Context:
    """What templates may use: customer (profile), signals, run, steps (outcomes so far) and links."""
    steps = {row["step"]: {"outcome": row["outcome"]} for row in await load_steps(connection, opened.run.id)}
    facts = opened.known.facts
    return {
        "customer": {**facts.profile, "id": facts.customer},
        "signals": dict(facts.signals),
        "run": {
            "playbook": opened.run.playbook,
            "title": opened.version.playbook.title,
            "entered_at": opened.run.entered_at,
            "reason": opened.run.trigger.get("reason"),
        },
        "steps": steps,
        "links": {},
    }


def parts_of(playbook: CompiledPlaybook, step: Act) -> Mapping[str, Any]:
    """The source parts of a message step: its own, or its template's for the channel."""
    template = step.args.get("template")
    if template:
        return playbook.templates.get(template, {}).get(step.word, {})
    return {name: step.args[name] for name in ("subject", "text", "html", "title") if step.args.get(name)}


def compose(playbook: CompiledPlaybook, step: Act, context: Context) -> dict[str, Any]:
    """The rendered message, ready to store and send. Raises RenderError."""
    parts = parts_of(playbook, step)
    if step.word == "email":
        email = render_email(parts, context)
        return {"subject": email.subject, "text": email.text, "html": email.html}
    if step.word == "in_app":
        title, text = render_in_app(parts, context)
        return {"title": title, "text": text}
    return {"text": render_sms(parts, context)}
