"""One page of the health overview: its few customers looked at in full, in the order in which they were found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from schemas.situation import AbandonedFeature, Situation
from store.asking import Source, fetch
from store.keyset import Place

# Who is shown: the business, else the person, else what the caller calls them.
NAME = "coalesce(c.business_name, c.first_name, c.external_id)"
SPARK_DAYS = 30
WEEK_DAYS = 7


class OverviewRow(msgspec.Struct, frozen=True):
    """One customer of the list. Health is 0–100, probabilities 0–1, money per month or in total; `sparkline` are the
    daily scores of the last 30 days, oldest first. `last_interaction_at` is when we last spoke, wrote or heard from them.
    """

    id: str
    user_id: str
    name: str
    demo: bool
    csm: str | None
    plan: str | None
    segment: str | None
    vendor_type: str | None
    subscription_status: str | None
    monthly_price: float | None
    health_score: int | None
    health_trend: str | None
    risk_level: str | None
    score_change: int | None
    churn_probability: float | None
    churn_risk_level: str | None
    ltv_at_risk: float | None
    last_login: datetime | None
    renewal_date: date | None
    place: Place
    sparkline: Sequence[int | None] = ()
    open_runs: int = 0
    last_interaction_at: datetime | None = None
    last_interaction: str | None = None
    situation: Situation = Situation()

    @property
    def week_change(self) -> int | None:
        """The points that health changed by since a week ago; None where one of both isn't known."""
        then = self.sparkline[-1 - WEEK_DAYS] if len(self.sparkline) > WEEK_DAYS else None
        return None if then is None or self.health_score is None else self.health_score - then


def days_of(now: datetime) -> dict[str, date]:
    """The two UTC days on which the latest scores are looked for, and the one of a week ago."""
    today = now.astimezone(UTC).date()
    return {
        "today": today,
        "yesterday": today - timedelta(days=1),
        "week_ago": today - timedelta(days=WEEK_DAYS),
    }


# The last e-mail of which anything was heard, of the customer `c`: a newer one that arrived takes a bounce back.
MAIL = """LEFT JOIN LATERAL (
        SELECT status, status_at, created_at FROM deliveries WHERE customer_id = c.id AND channel = 'email'
        AND status IN ('bounced', 'delivered', 'opened', 'clicked', 'replied')
        ORDER BY coalesce(status_at, created_at) DESC LIMIT 1
    ) mail ON true"""
BOUNCED_AT = "CASE WHEN mail.status = 'bounced' THEN coalesce(mail.status_at, mail.created_at) END"
_ROWS = f"""
    SELECT c.id::text AS id, c.external_id, {NAME} AS name, c.demo, c.csm, s.plan, s.segment, s.vendor_type,
        s.subscription_status, s.monthly_price, s.health_score, s.health_trend, s.risk_level, s.churn_probability,
        s.churn_risk_level, s.ltv_at_risk, s.last_login, s.renewal_date,
        s.failed_payments_30d,
        CAST(%(today)s AS date) AS today, scores.days, scores.scores, scores.change,
        (SELECT count(*) FROM runs r WHERE r.customer_id = c.id AND r.ended_at IS NULL AND r.arm = 'treated') AS open_runs,
        call.title AS call_title, call.due_at AS call_due_at,
        talked.at AS talked_at, talked.kind AS talked_kind, wrote.at AS wrote_at, wrote.channel, heard.at AS heard_at,
        {BOUNCED_AT} AS bounced_at
    FROM unnest(CAST(%(ids)s AS uuid[])) WITH ORDINALITY AS asked(id, place)
    JOIN customers c ON c.id = asked.id
    LEFT JOIN signals s ON s.customer_id = c.id
    LEFT JOIN LATERAL (
        SELECT array_agg(day ORDER BY day) AS days, array_agg(health_score ORDER BY day) AS scores,
            CASE WHEN max(day) >= %(yesterday)s THEN (array_agg(health_score - previous_score ORDER BY day DESC))[1] END
                AS change
        FROM customer_health WHERE customer_id = c.id AND day > %(since)s AND day <= %(today)s
    ) scores ON true
    LEFT JOIN LATERAL (
        SELECT title, coalesce(starts_at, due_at) AS due_at FROM tasks
        WHERE customer_id = c.id AND state = 'open' AND kind = 'call' ORDER BY 2, id LIMIT 1
    ) call ON true
    LEFT JOIN LATERAL (
        SELECT closed_at AS at, kind FROM tasks WHERE customer_id = c.id AND state = 'done'
        ORDER BY closed_at DESC NULLS LAST LIMIT 1
    ) talked ON true
    LEFT JOIN LATERAL (
        SELECT settled_at AS at, channel FROM deliveries WHERE customer_id = c.id AND state = 'accepted'
        ORDER BY settled_at DESC NULLS LAST LIMIT 1
    ) wrote ON true
    LEFT JOIN LATERAL (
        SELECT at FROM inbound_messages WHERE customer_id = c.id ORDER BY at DESC LIMIT 1
    ) heard ON true
    {MAIL}
    ORDER BY asked.place
    """
_ABANDONED = (
    "SELECT customer_id::text, feature_key, abandonment_risk, last_used_at FROM feature_adoption "
    "WHERE customer_id = ANY(CAST(%(ids)s AS uuid[])) AND abandonment_risk >= 0.6"
)


async def read_rows(
    source: Source, places: Sequence[Place], now: datetime, *, spark_days: int = SPARK_DAYS
) -> list[OverviewRow]:
    """The customers at these places, in their order, with the scores of so many days."""
    if not places:
        return []
    days = days_of(now)
    ids = [place.id for place in places]
    abandoned: dict[str, list[AbandonedFeature]] = {}
    for id_, *feature in await fetch(source, _ABANDONED, {"ids": ids}):
        abandoned.setdefault(id_, []).append(AbandonedFeature(*feature))
    since = days["today"] - timedelta(days=spark_days)
    rows = await fetch(source, _ROWS, {**days, "ids": ids, "since": since})
    by_id = {place.id: place for place in places}
    return [_row(row, by_id[row[0]], abandoned.get(row[0], ()), since) for row in rows]


def _row(row: Sequence[Any], place: Place, abandoned: Sequence[AbandonedFeature], since: date) -> OverviewRow:
    (
        id_, user_id, name, demo, csm, plan, segment, vendor_type, subscription_status, monthly_price, health_score,
        health_trend, risk_level, churn_probability, churn_risk_level, ltv_at_risk, last_login, renewal_date,
        failed_payments_30d, today, days, scores, change, open_runs, call_title, call_due_at, talked_at, talked_kind, wrote_at, channel,
        heard_at, bounced_at,
    ) = row  # fmt: skip
    sparkline: list[int | None] = [None] * (today - since).days
    for day, score in zip(days or (), scores or (), strict=True):
        sparkline[(day - since).days - 1] = score
    contacts = [
        (at, told)
        for at, told in (
            (talked_at, talked_kind),
            (wrote_at, (channel or "").replace("_", "-")),
            (heard_at, "reply"),
        )
        if at is not None
    ]
    last_at, last = max(contacts) if contacts else (None, None)
    return OverviewRow(
        id=id_,
        user_id=user_id,
        name=name,
        demo=demo,
        csm=csm,
        plan=plan,
        segment=segment,
        vendor_type=vendor_type,
        subscription_status=subscription_status,
        monthly_price=monthly_price,
        health_score=None if health_score is None else round(health_score),
        health_trend=health_trend,
        risk_level=risk_level,
        score_change=change,
        churn_probability=churn_probability,
        churn_risk_level=churn_risk_level,
        ltv_at_risk=ltv_at_risk,
        last_login=last_login,
        renewal_date=renewal_date,
        place=place,
        sparkline=sparkline,
        open_runs=open_runs,
        last_interaction_at=last_at,
        last_interaction=last,
        situation=Situation(
            risk_level=risk_level,
            churn_probability=churn_probability,
            subscription_status=subscription_status,
            failed_payments_30d=failed_payments_30d,
            call_title=call_title,
            call_due_at=call_due_at,
            talked_at=talked_at if talked_kind == "call" else None,
            bounced_at=bounced_at,
            abandoned=abandoned,
        ),
    )
