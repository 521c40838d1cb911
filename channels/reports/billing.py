"""Stripe's events of billing, in the words of our catalogue.

Customers are named by `user_id` (or `customer_id`) in the object's metadata, else known by their trait
`stripe_customer_id`. Source: docs.stripe.com/api/events/types.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from channels.reports.fields import items, mapping, moment, read_json, word
from schemas.delivery_report import ForeignEvent, HookContents
from schemas.errors import EventError

SOURCE = "stripe"
NAMES: Mapping[str, str] = {
    "invoice.payment_failed": "payment_failed",
    "invoice.payment_succeeded": "payment_succeeded",
    "invoice.paid": "payment_succeeded",
    "customer.subscription.created": "subscription_started",
    "customer.subscription.deleted": "subscription_cancelled",
    "customer.subscription.updated": "plan_changed",
}
_NAMED = ("user_id", "userId", "customer_id", "external_id")


def read(body: bytes, received_at: datetime) -> HookContents:
    """One event; nothing for those that we have no word for. Raises EventError."""
    event = mapping(read_json(body))
    kind, event_id = word(event.get("type")), word(event.get("id"))
    if not kind or not event_id:
        raise EventError("Stripe's body is no event.")
    data = mapping(event.get("data"))
    thing, before = mapping(data.get("object")), mapping(data.get("previous_attributes"))
    name = NAMES.get(kind)
    if name is None or (name == "plan_changed" and not {"items", "plan"} & set(before)):
        return HookContents()
    # Stripe says twice that an invoice is paid; it is paid once.
    about = word(thing.get("id")) if name == "payment_succeeded" else ""
    customer = word(thing.get("customer"))
    return HookContents(events=(
        ForeignEvent(
            SOURCE, f"{name}/{about or event_id}", name, moment(event.get("created"), received_at),
            _properties(name, thing), _named(thing) or None, "stripe_customer_id" if customer else "", customer,
        ),
    ))  # fmt: skip


def _named(thing: Mapping[str, Any]) -> str:
    details = mapping(thing.get("subscription_details"))
    for metadata in (mapping(thing.get("metadata")), mapping(details.get("metadata"))):
        for name in _NAMED:
            if found := word(metadata.get(name)):
                return found
    return ""


def _properties(name: str, thing: Mapping[str, Any]) -> dict[str, Any]:
    if name.startswith("payment_"):
        cents = thing.get("amount_due") if name == "payment_failed" else thing.get("amount_paid")
        amount = {"amount": cents / 100} if isinstance(cents, int) and not isinstance(cents, bool) else {}
        return amount | {"currency": word(thing.get("currency"), 3), "attempt": thing.get("attempt_count")}
    price = _price(thing)
    spoken = (mapping(price.get("metadata")).get("plan"), price.get("lookup_key"), price.get("nickname"))
    plan = next((said for value in spoken if (said := word(value))), "")
    given: dict[str, Any] = {"to" if name == "plan_changed" else "plan": plan}
    if reason := word(mapping(thing.get("cancellation_details")).get("reason")):
        given["reason"] = reason
    ends = thing.get("current_period_end") or mapping(_item(thing)).get("current_period_end")
    if isinstance(ends, int) and 0 < ends < 4_102_444_800:
        given["renewal_date"] = datetime.fromtimestamp(ends, UTC).date().isoformat()
    return {key: value for key, value in given.items() if value}


def _item(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(next(iter(items(mapping(thing.get("items")).get("data"))), None))


def _price(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    item = _item(thing)
    return mapping(item.get("price")) or mapping(item.get("plan")) or mapping(thing.get("plan"))
