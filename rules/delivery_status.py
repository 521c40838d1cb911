"""What became of a message, from everything that was reported of it: the same whatever the order, and however often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.delivery_report import DeliveryReport, ReportKind

# Each weighs more than those before it. A mail may bounce after it was delivered; that it was opened by a person proves
# that it came; a complaint outweighs everything.
STATUSES: tuple[ReportKind, ...] = (
    "accepted", "sent", "undelivered", "delivered", "bounced", "opened", "clicked", "replied", "complained",
)  # fmt: skip
_RANKS: Mapping[str, int] = {status: rank for rank, status in enumerate(STATUSES)}

# Nobody reads a mail so soon after it came; programs that look into mails do.
SOONEST_OPENING = timedelta(seconds=5)
# Apple's Mail Privacy Protection fetches every picture of every mail, and calls itself just this.
_APPLE_PRIVACY = "mozilla/5.0"
# Mail filters, and programs. Gmail's and Yahoo's picture proxies aren't among them: they fetch when a person looks.
_PROGRAMS = (
    "barracuda", "proofpoint", "mimecast", "symantec", "trendmicro", "trend micro", "fireeye", "forcepoint",
    "safelinks", "bitdefender", "sophos", "zscaler", "cloudmark", "messagelabs", "bot/", "bot ", "spider", "crawler",
    "curl/", "wget/", "python-requests", "python-urllib", "go-http-client", "okhttp", "java/", "headlesschrome",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands: `status` since `status_at`, and when each thing happened for the first time.

    Openings and clicks are those of people.
    """

    status: str = ""
    status_at: datetime | None = None
    delivered_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    replied_at: datetime | None = None


def weigh(reports: Iterable[DeliveryReport], *, sent_at: datetime | None = None) -> Standing:
    """Where a message stands after these reports, in any order, each any number of times.

    sent_at: when the provider took it; what opens it right after that is a program, where no delivery was reported.
    """
    told = list(reports)
    delivered_at = min((one.at for one in told if one.kind == "delivered"), default=None)
    arrived_at = delivered_at or sent_at
    counted = [one for one in told if not is_machine(one, arrived_at)]
    status = max((one.kind for one in counted if one.kind in _RANKS), key=_RANKS.__getitem__, default="")

    def first(kind: str) -> datetime | None:
        return min((one.at for one in counted if one.kind == kind), default=None)

    return Standing(status, first(status), delivered_at, first("opened"), first("clicked"), first("replied"))


def is_machine(report: DeliveryReport, arrived_at: datetime | None) -> bool:
    """Whether a program, not a person, opened this mail or followed its links."""
    if report.kind not in ("opened", "clicked") or report.channel != "email":
        return False
    agent = report.agent.strip().lower()
    if report.machine or any(word in agent for word in _PROGRAMS):
        return True
    if report.kind == "clicked":
        return False
    return agent == _APPLE_PRIVACY or (arrived_at is not None and report.at - arrived_at <= SOONEST_OPENING)
