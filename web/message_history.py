"""What became of a message, moment by moment, as the ledger and its provider's reports have it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.reading_outbox import LedgerEntry

# Why a message wasn't sent, for those codes that say too little by themselves.
_REASONS = {
    "no_consent": "the customer doesn't want this, or never said that they do",
    "suppressed": "the address must not be used any more",
    "unreachable": "there is no address on this channel",
    "held_quiet_hours": "it was night where the customer is, for too long",
    "capped": "the customer had too many messages already",
    "shadow": "the run only shows what would have been sent",
    "run_ended": "its run ended before it could leave",
    "parked": "so many complained that only critical messages leave on this channel",
    "opted_out": "the customer stopped this channel at the provider",
    "invalid_address": "there is nobody at the address",
    "absent": "its provider never got it",
    "marked_failed": "somebody found out that it never arrived",
}


@dataclass(frozen=True)
class Moment:
    """One thing that happened to a message; `at` None: that is how it stands, and nobody wrote down since when."""

    at: datetime | None
    word: str
    told: str = ""


def explain_reason(code: str | None) -> str:
    """What a code means, empty where it speaks for itself."""
    return _REASONS.get(code or "", "")


def trace_message(entry: LedgerEntry) -> list[Moment]:
    """All of it, oldest first; what its provider said is told as it was said."""
    message = entry.message
    moments = [Moment(message.created_at, "planned", f"at {message.step}")]
    if entry.claimed_at:
        tried = f"attempt {message.attempt}" if message.attempt > 1 else ""
        moments.append(Moment(entry.claimed_at, "claimed", tried))
    for one in message.evidence.get("failed", ()):
        moments.append(_failed_channel(one))
    if message.settled_at and not (entry.reconciled_at and message.settled_at == entry.reconciled_at):
        why = " ".join(
            dict.fromkeys(
                part
                for part in (message.error_code, explain_reason(message.error_code), message.error)
                if part
            )
        )
        by = f"by {message.provider}" if message.provider and message.state == "accepted" else ""
        word = "unknown" if entry.reconciled_at and message.state == "accepted" else message.state
        moments.append(Moment(message.settled_at, word, by or why))
    if entry.reconciled_at:
        found = "nobody could say" if message.state == "unknown" else f"found out: {message.state}"
        moments.append(Moment(entry.reconciled_at, "reconciled", found))
    for report in entry.reports:
        code = report.detail.get("code") or ""
        moments.append(Moment(report.at, report.kind, f"says {report.provider}{f', {code}' if code else ''}"))
    for reply in entry.replies:
        understood = f", understood as {reply.keyword}" if reply.keyword else ""
        moments.append(Moment(reply.at, "reply", f"{reply.length} characters{understood}"))
    if message.seen_at:
        moments.append(Moment(message.seen_at, "seen", "in the app"))
    return sorted(moments, key=lambda one: one.at or message.created_at)


def _failed_channel(one: object) -> Moment:
    told = one if isinstance(one, dict) else {}
    try:
        at: datetime | None = datetime.fromisoformat(str(told.get("at")))
    except ValueError:
        at = None
    return Moment(
        at, "failed", f"by {told.get('channel', '?')}: {told.get('code', '')}; another channel was tried"
    )
