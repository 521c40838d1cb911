"""The health overview: how everybody stands, and the list of customers with its filters, views and export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.requests import Request

from rules.urgent_actions import UrgentAction, urgent_actions
from store.overview_rows import OverviewRow
from store.reading import read_totals
from store.reading_decisions import list_decisions, list_playbooks
from store.reading_overview import CURRENT, OverviewFilter, export_overview, list_overview
from store.reading_runs import count_open, list_runs
from store.saved_views import list_views
from web.csv_export import answer_csv, in_turn, write_line
from web.cursors import write_place_cursor
from web.edge import EdgeHere, Reader
from web.overview_facets import FacetCounter
from web.overview_query import COLUMNS, read_query
from web.shared_pages import is_live, share_page

router = APIRouter(include_in_schema=False)
PAGE = "customers"
ROWS = 50
FIRST_ROWS = 15
# The filters with a choice each, by what they are called; risk has its own row.
FILTERS = (
    ("segment", "Segment"),
    ("csm", "CSM"),
    ("trend", "30-day trend"),
    ("change", "Last change"),
    ("plan", "Plan"),
)
# Who can still be kept.
KEPT = OverviewFilter({"status": (CURRENT,)})
EXPORTED = (
    "userId", "businessName", "subscriptionTier", "segment", "csm", "monthlyRevenue", "healthScore", "scoreChange",
    "healthTrend", "riskLevel", "churnProbability", "ltvAtRisk", "lastLogin", "daysSinceLastLogin", "lastInteraction",
    "openRuns", "urgentActions", "renewalDate",
)  # fmt: skip


@dataclass(frozen=True)
class ListedCustomer:
    """One row, with what is urgent about it at the time it was read."""

    row: OverviewRow
    urgent: Sequence[UrgentAction]

    @property
    def shown_sparkline(self) -> str:
        """What the line of scores says to whoever can't see it."""
        known = [score for score in self.row.sparkline if score is not None]
        return f"Health over 30 days, from {known[0]} to {known[-1]}" if known else ""


def facets_of(request: Request) -> FacetCounter:
    """This process's counts of customers."""
    return cast(FacetCounter, request.app.state.facets)


def describe_customers(rows: Sequence[OverviewRow], now: datetime) -> list[ListedCustomer]:
    """The rows, each with what is urgent about it now."""
    return [ListedCustomer(row, urgent_actions(row.situation, now=now)) for row in rows]


def days_since(at: datetime | None, now: datetime) -> int | None:
    """Whole days that have gone by since."""
    return None if at is None else max(0, (now - at).days)


@router.get("/")
async def overview(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """How everybody stands, who needs somebody first, and what the engine is at."""

    async def read() -> Mapping[str, Any]:
        facets = await facets_of(request).read(KEPT)
        async with edge.database.single() as connection:
            now = await edge.database.clock.read(connection)
            rows = await list_overview(connection, KEPT, now, sort="ltv", descending=True, limit=FIRST_ROWS)
            return {
                "facets": facets,
                "customers": describe_customers(rows, now),
                "totals": await read_totals(connection),
                "open_runs": await count_open(connection),
                "decisions": await list_decisions(connection, limit=10),
                "runs": await list_runs(connection, limit=8),
                "temporal_ui": edge.settings.temporal_ui,
                "at": now,
            }

    return await share_page(request, me, "overview.html", read)


@router.get("/customers")
async def customers(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """Customers by filters, order and columns; without any, as their own default view has it."""
    if not request.query_params:
        async with edge.database.transaction() as connection:
            views = await list_views(connection, me.id, PAGE)
        if chosen := next((view for view in views if view.is_default), None):
            return RedirectResponse(f"/customers?{read_query(chosen.query).encoded()}&view={chosen.id}", 303)
    query = read_query(request.query_params)
    # An open page keeps its menu of views, which is all that is anybody's own.
    owner = "" if is_live(request) else me.id

    async def read() -> Mapping[str, Any]:
        facets = await facets_of(request).read(query.wanted)
        async with edge.database.single() as connection:
            now = await edge.database.clock.read(connection)
            rows = await list_overview(
                connection, query.wanted, now, sort=query.sort, descending=query.descending, limit=ROWS + 1,
                after=query.after,
            )  # fmt: skip
            views = await list_views(connection, owner, PAGE) if owner else []
            playbooks = await list_playbooks(connection) if me.may("act") else []
        more = rows[ROWS - 1].place if len(rows) > ROWS else None
        return {
            "customers": describe_customers(rows[:ROWS], now),
            "query": query,
            "facets": facets,
            "filters": FILTERS,
            "columns": COLUMNS,
            "views": views,
            "view": request.query_params.get("view", ""),
            "playbooks": [one for one in playbooks if one.status in ("live", "shadow")],
            "next_cursor": write_place_cursor(more, query.sorted_by) if more else "",
            "at": now,
        }

    return await share_page(request, me, "customers.html", read, owner)


@router.get("/customers.csv")
async def export(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """All customers of the same query, as a table for other programs."""
    query = read_query(request.query_params)

    async def write() -> AsyncIterator[bytes]:
        yield write_line(EXPORTED)
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            async for rows in export_overview(
                connection, query.wanted, now, sort=query.sort, descending=query.descending
            ):
                yield b"".join(write_line(_cells(one, now)) for one in describe_customers(rows, now))

    return answer_csv(in_turn(request.app.state.exports, write()), "customers.csv")


def _cells(one: ListedCustomer, now: datetime) -> Sequence[object]:
    row = one.row
    return (
        row.user_id, row.name, row.plan, row.segment, row.csm, row.monthly_price, row.health_score, row.score_change,
        row.health_trend, row.risk_level, row.churn_probability, row.ltv_at_risk, row.last_login,
        days_since(row.last_login, now), row.last_interaction_at, row.open_runs,
        "; ".join(urgent.description for urgent in one.urgent), row.renewal_date,
    )  # fmt: skip
