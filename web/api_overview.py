"""`GET /api/customers`: customers by filters, in an order, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request

from rules.urgent_actions import Priority, UrgentAction, UrgentKind
from store.overview_rows import OverviewRow
from store.reading_overview import list_overview
from store.reading_rows import Row
from web.answers import Answer
from web.api_runs import Limit
from web.cursors import write_place_cursor
from web.customer_totals import CustomerCounter
from web.edge import EdgeHere, caller_of
from web.etags import note_moments
from web.overview_query import ALL, read_query
from web.page_overview import days_since, describe_customers

router = APIRouter(prefix="/api", tags=["customers"], dependencies=[Depends(caller_of)])
Values = Annotated[
    list[Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]] | None,
    Query(max_length=50, description="Any of these; `none` stands for what isn't known."),
]
# The score of today against that of the day before is all that is told of the past.
TWO_DAYS = 2
Sort = Literal[
    "health", "-health", "change", "-change", "churn", "-churn", "revenue", "-revenue", "ltv", "-ltv", "login",
    "-login", "name", "-name",
]  # fmt: skip


class UrgentActionItem(Row):
    """One thing that somebody should do: by its UTC date, in about so many minutes."""

    type: UrgentKind
    description: str
    priority: Priority
    due_date: date
    estimated_effort: int


class CustomerItem(Row):
    """One customer of the list. `scoreChange` is against the score of the day before; revenue is per month."""

    user_id: str
    business_name: str
    subscription_tier: str | None
    segment: str | None
    csm: str | None
    monthly_revenue: float | None
    last_interaction: datetime | None
    health_score: int | None
    health_trend: str | None
    score_change: int | None
    risk_level: str | None
    last_login: datetime | None
    days_since_last_login: int | None
    churn_probability: float | None
    ltv_at_risk: float | None
    open_runs: int
    urgent_actions: list[UrgentActionItem]


class CustomerList(Answer):
    """Customers in the order asked for; `total` of the filter was counted at `countedAt`."""

    customers: list[CustomerItem]
    total: int
    counted_at: datetime
    next_cursor: str | None


@router.get("/customers", summary="Customers by filters")
async def customers(
    request: Request,
    edge: EdgeHere,
    risk: Values = None,
    segment: Values = None,
    csm: Values = None,
    trend: Values = None,
    plan: Values = None,
    change: Values = None,
    status: Annotated[
        list[Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]] | None,
        Query(
            max_length=50,
            description="Any of these subscription statuses; `none` stands for what isn't known, `current` for all but "
            "`cancelled`. Without it, or with `all`: everybody.",
        ),
    ] = None,
    search: Annotated[
        str | None,
        Query(max_length=200, pattern=r"^[^\x00]*$", description="In the id, names and e-mail address."),
    ] = None,
    sort: Annotated[
        Sort, Query(description="With a minus: descending. Unknown values come last.")
    ] = "health",
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=1000, pattern=r"^[^\x00]*$")] = None,
) -> CustomerList:
    """The least healthy first, unless `sort` says otherwise. A cursor goes with its order."""
    note_moments(request, "countedAt")
    chosen = {
        "risk": risk, "segment": segment, "csm": csm, "trend": trend, "plan": plan, "change": change, "status": status,
    }  # fmt: skip
    query = read_query(
        {**{name: values or [] for name, values in chosen.items()}, "search": search or "", "sort": sort},
        cursor=cursor or "",
        usual_status=ALL,
    )
    total, counted_at = await cast(CustomerCounter, request.app.state.customer_totals).read(query.wanted)
    now = await edge.time.read()
    async with edge.database.reading() as source:
        rows = await list_overview(
            source, query.wanted, now, sort=query.sort, descending=query.descending, limit=limit + 1,
            after=query.after, spark_days=TWO_DAYS,
        )  # fmt: skip
    return CustomerList(
        customers=[_item(one.row, one.urgent, now) for one in describe_customers(rows[:limit], now)],
        total=total,
        counted_at=counted_at,
        next_cursor=write_place_cursor(rows[limit - 1].place, query.sorted_by) if len(rows) > limit else None,
    )


def _item(row: OverviewRow, urgent: Sequence[UrgentAction], now: datetime) -> CustomerItem:
    return CustomerItem.trust(
        {
            "user_id": row.user_id,
            "business_name": row.name,
            "subscription_tier": row.plan,
            "segment": row.segment,
            "csm": row.csm,
            "monthly_revenue": row.monthly_price,
            "last_interaction": row.last_interaction_at,
            "health_score": row.health_score,
            "health_trend": row.health_trend,
            "score_change": row.score_change,
            "risk_level": row.risk_level,
            "last_login": row.last_login,
            "days_since_last_login": days_since(row.last_login, now),
            "churn_probability": row.churn_probability,
            "ltv_at_risk": row.ltv_at_risk,
            "open_runs": row.open_runs,
            "urgent_actions": [
                UrgentActionItem.trust(
                    {
                        "type": action.kind,
                        "description": action.description,
                        "priority": action.priority,
                        "due_date": action.due_date,
                        "estimated_effort": action.effort_minutes,
                    }
                )
                for action in urgent
            ],
        }
    )
