"""What governs every message and entry (`playbooks/policy.yaml`); what is left out doesn't govern."""

from __future__ import annotations

from typing import Literal, get_args

from schemas.frozen import Frozen
from schemas.health_model import DEFAULT_MODEL


class Cap(Frozen):
    """At most `times` in any rolling window of `seconds`."""

    times: int
    seconds: int


class WorkingHours(Frozen):
    """When the team works: ISO weekdays (1 Monday) and minutes of the day, in the default zone.

    `holidays` is whose public holidays nobody can be booked on: a country (ISO 3166-1), or a part of one (`DE-BY`);
    where it is left out, the default zone's country.
    """

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    between: tuple[int, int] = (9 * 60, 17 * 60)
    holidays: str | None = None


class Team(Frozen):
    """People who share work, in the order in which they take turns.

    `lead` gets what nobody else can. Who is `away` gets nothing new. `unowned`: work for customers who have no CSM of
    their own comes here.
    """

    members: tuple[str, ...]
    lead: str | None = None
    away: tuple[str, ...] = ()
    unowned: bool = False


class MarketRow(Frozen):
    """How a trade's market weighs on customers in a month, 0–1; None: any trade, any month, not said."""

    vendor_type: str | None = None
    month: int | None = None
    competitor_activity: float | None = None
    seasonal_factors: float | None = None


class ChurnPolicy(Frozen):
    """What churn is told for: the days ahead (30, 60 or 90), what a customer is worth, and how markets weigh.

    A customer's lifetime value is `lifetime_months` monthly prices; preventing a loss may cost `prevention_share` of
    the value at risk, at most `prevention_limit` in account currency.
    """

    horizon_days: Literal[30, 60, 90] = 90
    lifetime_months: float = 18.0
    prevention_share: float = 0.10
    prevention_limit: float = 500.0
    market: tuple[MarketRow, ...] = ()


class Silence(Frozen):
    """When messages hold because a person is in contact with the customer: so long after they wrote to us or a call was
    completed, and while a ticket is open. `critical_passes`: critical ones don't.
    """

    after_reply_seconds: int | None = None
    after_call_seconds: int | None = None
    open_ticket: bool = False
    critical_passes: bool = False


# A message is critical where its step says so.
MessageClass = Literal["critical", "other"]
# What other systems ask for by its type; by default each is the playbook called like it.
InterventionType = Literal[
    "email_sequence", "in_app_message", "phone_call", "feature_tour", "personalized_support"
]
INTERVENTION_TYPES: tuple[InterventionType, ...] = get_args(InterventionType)


class Policy(Frozen):
    """The rules over all playbooks. `quiet_hours` are minutes of the day in the customer's zone, may cross midnight.

    `caps` maps `total`, a channel or `topic:NAME` to a cap on messages; `entries` caps playbooks entered per customer;
    `consent` maps a channel to whether silence means yes; a denial always wins. `health_model` names what scores.
    `interventions` maps a type of intervention to the playbook that is meant by it.
    `keywords` are words that mean STOP, START and HELP beside those that everybody knows.
    `exploration_percent` is the share of messages that pick their channel and try another one than the best.
    `unknown` maps a class of messages to what becomes of one that may have been sent, and of which nobody can be asked.
    """

    default_zone: str = "UTC"
    quiet_hours: tuple[int, int] | None = None
    critical_in_quiet_hours: bool = False
    caps: dict[str, Cap] = {}
    entries: Cap | None = None
    consent: dict[str, Literal["assumed", "required"]] = {}
    topics: tuple[str, ...] = ()
    silence: Silence | None = None
    unknown: dict[MessageClass, Literal["leave", "again"]] = {}
    exploration_percent: float = 0.0
    holdout_percent: float = 0.0
    working_hours: WorkingHours | None = None
    teams: dict[str, Team] = {}
    costs: dict[str, float] = {}
    keywords: dict[Literal["stop", "start", "help"], tuple[str, ...]] = {}
    health_model: str = DEFAULT_MODEL
    churn: ChurnPolicy = ChurnPolicy()
    interventions: dict[InterventionType, str] = {}

    def sends_again(self, *, critical: bool) -> bool:
        """Whether a message that may have been sent, and of which nobody can be asked, is sent once more."""
        return self.unknown.get("critical" if critical else "other") == "again"

    def playbook_for(self, intervention: InterventionType) -> str:
        """The playbook that a type means; `email_sequence` is `email-sequence` where nothing is said."""
        return self.interventions.get(intervention) or intervention.replace("_", "-")
