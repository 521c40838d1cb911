"""What comes back after a message left, in the same words whoever says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

# deferred: the provider goes on trying. undelivered: it gave up without the recipient's side having refused it.
ReportKind = Literal[
    "accepted", "sent", "deferred", "delivered", "opened", "clicked", "replied", "undelivered", "bounced",
    "complained", "unsubscribed",
]  # fmt: skip
REPORT_KINDS: tuple[ReportKind, ...] = get_args(ReportKind)

# Whose fault it was: hard: there is nobody at the address. soft: not just now. block: the recipient's side refuses us,
# not this recipient. opted_out: the recipient stopped it, at the provider. Empty: nobody's, or it isn't said.
Fault = Literal["", "hard", "soft", "block", "opted_out"]


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """One thing that a provider says of one message; `provider` and `report_id` make it unique.

    `delivery_id` is ours, as far as it came back; `address` the recipient's, where it is said; `code` the provider's
    word for what went wrong. `machine`: the provider itself says that no person opened it; `agent` is the User-Agent.
    """

    provider: str
    report_id: str
    kind: ReportKind
    at: datetime
    channel: str
    provider_id: str | None = None
    delivery_id: str | None = None
    address: str | None = field(default=None, repr=False)
    fault: Fault = ""
    code: str = ""
    machine: bool = False
    agent: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """What somebody wrote to us. `answered_as`: the provider took it for this keyword, and answered it itself.

    `references` are Message-IDs that it answers, without brackets; `automatic`: no person wrote it.
    """

    provider: str
    provider_id: str
    channel: str
    address: str = field(repr=False)
    text: str = field(repr=False)
    at: datetime
    answered_as: str = ""
    references: tuple[str, ...] = ()
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class ForeignEvent:
    """An event of another system; its customer is named, or known by a trait: `trait` = `value`."""

    source: str
    message_id: str
    name: str
    at: datetime
    properties: Mapping[str, Any]
    external_id: str | None = None
    trait: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One item of a request that can't be taken, and why; `position` counts from 1."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class HookContents:
    """What one verified request says; `confirm_url`: where it is to be confirmed that we want such requests."""

    reports: tuple[DeliveryReport, ...] = ()
    messages: tuple[InboundMessage, ...] = ()
    events: tuple[ForeignEvent, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    confirm_url: str = ""
