"""Making a message of a step: which parts it has, and what its template may speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.steps import Opened
from channels.outcome import OutgoingMessage
from channels.rendering import (
    render_email,
    render_free_whatsapp,
    render_in_app,
    render_push,
    render_sms,
    render_voice,
    render_whatsapp,
)
from channels.twilio_codes import WINDOW_CLOSED
from rules.whatsapp_window import may_write_freely
from schemas.facts import Facts
from schemas.message_part import CHANNEL_PARTS
from schemas.plan import Act, CompiledPlaybook
from schemas.signal_value import WrongType
from store.database import Connection
from store.deliveries import Delivery, lock_delivery
from store.inbound_messages import last_inbound_at
from store.run_steps import load_steps
from store.runs import Run

Context = Mapping[str, Any]

WHATSAPP = "whatsapp"
# The word of the step that picks its channel; the others are called as theirs.
ANY_CHANNEL = "message"
# Where a message keeps why it took its channel.
CHOSEN = "chosen"


async def context_of(
    connection: Connection, opened: Opened, links: Mapping[str, str] | None = None
) -> Context:
    """What templates of this run may use (see `make_context`); `links` are a message's own."""
    run, facts = opened.run, opened.known.facts
    rows = opened.reading.steps if opened.reading else None
    if rows is None:
        rows = await load_steps(connection, run.id)
    steps = {row["step"]: {**row["output"], "outcome": row["outcome"]} for row in rows}
    if links is None:
        links = opened.links.make(run.customer_id, facts.profile)
    reason = run.trigger.get("reason")
    return make_context(opened.version.playbook, run, facts, steps, links, reason=reason)


def make_context(
    playbook: CompiledPlaybook,
    run: Run,
    facts: Facts,
    steps: Mapping[str, Any],
    links: Mapping[str, str],
    *,
    reason: object,
) -> Context:
    """What templates may use: customer (profile), signals, run, `steps` (outputs and outcomes so far) and links."""
    variants = list(run.variants.values())
    wishes = run.trigger.get("customization") or {}
    return {
        "customer": {**facts.profile, "id": facts.customer},
        # A value of the wrong type is nothing to speak of.
        "signals": {name: v for name, v in facts.signals.items() if not isinstance(v, WrongType)},
        "run": {
            "playbook": run.playbook,
            "title": playbook.title,
            "entered_at": run.entered_at,
            "reason": reason,
            # Of several experiments none is the run's own.
            "variant": variants[0] if len(variants) == 1 else None,
            # What whoever asked for this run wants said: values only, escaped where they are shown as HTML.
            "priority": run.trigger.get("priority"),
            "message": wishes.get("message"),
            "timeline": wishes.get("timeline"),
            "special_offers": wishes.get("special_offers"),
        },
        "steps": steps,
        "links": links,
    }


def parts_of(playbook: CompiledPlaybook, step: Act, channel: str) -> Mapping[str, Any]:
    """The source parts of a message on this channel: the step's own, or its template's; empty where it has none."""
    template = step.args.get("template")
    if template:
        return playbook.templates.get(template, {}).get(channel, {})
    return {name: step.args[name] for name in CHANNEL_PARTS.get(channel, ()) if step.args.get(name)}


async def writes_freely(
    connection: Connection, opened: Opened, step: Act, channel: str, delivery: str
) -> bool:
    """Whether a WhatsApp message may be any text: it has one, and the customer wrote within the last 24 hours.

    Read under the customer's lock when the message is about to leave. Where WhatsApp said otherwise of this very
    message, its word counts.
    """
    if channel != WHATSAPP or not parts_of(opened.version.playbook, step, channel).get("text"):
        return False
    before = await lock_delivery(connection, delivery)
    if before is not None and before.error_code == WINDOW_CLOSED:
        return False
    return may_write_freely(await last_inbound_at(connection, opened.run.customer_id, WHATSAPP), opened.now)


def compose(
    playbook: CompiledPlaybook, step: Act, channel: str, context: Context, *, freely: bool = False
) -> dict[str, Any]:
    """The rendered message, ready to store and send; `freely`: see `writes_freely`. Raises RenderError."""
    parts = parts_of(playbook, step, channel)
    match channel:
        case "email":
            email = render_email(parts, context)
            content = {"subject": email.subject, "text": email.text, "html": email.html}
            if name := step.args.get("from_name"):
                content["from_name"] = name
            return content
        case "in_app" | "push":
            title, text = (render_in_app if channel == "in_app" else render_push)(parts, context)
            return {"title": title, "text": text}
        case "whatsapp" if freely:
            return {"text": render_free_whatsapp(parts, context)}
        case "whatsapp":
            content_sid, variables = render_whatsapp(parts, context)
            # The words are WhatsApp's; what can be shown of them here is what they are filled in with.
            filled = [f"{name}: {value}" for name, value in variables.items()]
            shown = "\n".join([f"WhatsApp template {content_sid}", *filled])
            return {"content_sid": content_sid, "variables": variables, "text": shown}
        case "voice":
            return {"text": render_voice(parts, context)}
    return {"text": render_sms(parts, context)}


def make_message(
    delivery: Delivery,
    address: str,
    *,
    unsubscribe_url: str | None = None,
    valid_for_seconds: int | None = None,
) -> OutgoingMessage:
    """What a channel is handed for a row of the ledger."""
    content = delivery.content
    return OutgoingMessage(
        delivery_id=delivery.id,
        recipient=address,
        text=str(content.get("text", "")),
        subject=str(content.get("subject") or content.get("title") or ""),
        html=content.get("html"),
        content_sid=str(content.get("content_sid", "")),
        variables=content.get("variables") or {},
        unsubscribe_url=unsubscribe_url,
        valid_for_seconds=valid_for_seconds,
        attempt=delivery.attempt,
        sender_name=str(content.get("from_name", "")),
    )


def is_free(delivery: Delivery) -> bool:
    """Whether this is a WhatsApp message in words of its own, which only goes within the customer's 24 hours."""
    return delivery.channel == WHATSAPP and not delivery.content.get("content_sid")


def word_of(delivery: Delivery) -> str:
    """The word of the step that a message belongs to: one that chose its channel says so."""
    return ANY_CHANNEL if CHOSEN in delivery.content else delivery.channel


def choice_of(delivery: Delivery) -> str:
    """Why a message took its channel; empty where the step names the channel."""
    return str(delivery.content.get(CHOSEN, ""))
