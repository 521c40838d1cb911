"""Backtests on the page of a playbook: to be begun, under way, and what they came to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.errors import ConflictError, InputError, NotFoundError, UnavailableError
from web.backtests import Backtest
from web.bars import bar_chart
from web.edge import EdgeHere, EditorPoster, reader_of
from web.forms import answer_form, read_form
from web.page_playbooks import Name
from web.playbook_frame import load_frame
from web.rendering import render
from web.workbench import Draft, Period

router = APIRouter(include_in_schema=False, dependencies=[Depends(reader_of)])
ASKED = ("first", "last", "customers", "churn_within", "as_happened")
# What is known of customers is seldom older, and each day is played.
LONGEST_PERIOD = timedelta(days=5 * 366)
LONGEST_WITHIN = 6
_RELATIVE = re.compile(r"\d+[mhdw]")


@router.get("/playbooks/{name}/backtest")
async def backtest(
    request: Request,
    edge: EdgeHere,
    name: Name,
    show: Annotated[str, Query(pattern=r"^[0-9a-f]{0,12}$")] = "",
) -> HTMLResponse:
    """Backtests of this playbook: one to be begun, those under way, and what one came to."""
    frame = await load_frame(edge, request, name)
    known = edge.backtests.list_of(name)
    chosen = next((one for one in known if one.id == show), None) if show else next(iter(known), None)
    lost = bool(show) and chosen is None
    today = frame["computed_at"].date()
    return render(
        request, "playbook_backtest.html", 404 if lost else 200, tab="backtest", known=known, chosen=chosen,
        charts=_charts(chosen) if chosen and chosen.result else None, lost=lost, since=edge.backtests.since,
        period=_asked(request, today), today=today, **frame,
    )  # fmt: skip


@router.post("/playbooks/{name}/backtest")
async def start_backtest(
    request: Request, edge: EdgeHere, poster: EditorPoster, name: Name
) -> RedirectResponse:
    """Somebody has the playbook's file played over the past."""
    fields, where = await read_form(request), f"/playbooks/{name}/backtest"
    if fields.get("cancel"):
        was = edge.backtests.find(name, fields["cancel"]).state
        ended = edge.backtests.cancel(name, fields["cancel"])
        told = (
            "It is being cancelled."
            if was == "running"
            else f"It was over already ({was}): nothing was cancelled."
        )
        return answer_form(where, told, refused=was != "running", query=dict(parse_qsl(ended.query)))
    if edge.workbench is None:
        raise UnavailableError("This process can't play backtests.", remedy="Use `holdfast backtest`.")
    try:
        opened = await edge.workbench.open(f"{name}.yaml")
        begun = edge.backtests.start(
            edge.workbench, Draft(opened.file, opened.text), read_period(fields), poster.name
        )
    except (InputError, ConflictError, NotFoundError) as error:
        # What was asked stays in the form.
        asked = {key: fields[key] for key in ASKED if fields.get(key)}
        return answer_form(where, f"{error.message} {error.remedy}", refused=True, query=asked)
    return RedirectResponse(f"{where}?{begun.query}", status_code=303)


def _asked(request: Request, today: date) -> Period:
    """The past that the address names, refused or not; what it doesn't name, or can't mean, is of the last 60 days."""
    query, days = request.query_params, {}
    for name, otherwise in (("first", today - timedelta(days=60)), ("last", today - timedelta(days=1))):
        try:
            days[name] = date.fromisoformat(query.get(name, "")).isoformat()
        except ValueError:
            days[name] = otherwise.isoformat()
    customers, within = query.get("customers", ""), query.get("churn_within", "")
    return Period(
        days["first"], days["last"],
        int(customers) if re.fullmatch(r"[0-9]{1,6}", customers) else 1000,
        within if _RELATIVE.fullmatch(within) and len(within) <= LONGEST_WITHIN else "60d",
        bool(query.get("as_happened")),
    )  # fmt: skip


def read_period(fields: Mapping[str, str]) -> Period:
    """The past that a form names. Raises InputError."""
    try:
        first, last = (date.fromisoformat(fields.get(key, "").strip()) for key in ("first", "last"))
        customers = int(fields.get("customers", "") or 1000)
    except ValueError as error:
        raise InputError(
            "The days or the number can't be read.", remedy="Write days like 2026-03-01."
        ) from error
    within = fields.get("churn_within", "").strip() or "60d"
    if first > last:
        raise InputError("The first day comes after the last.", remedy="Exchange them.")
    if last - first > LONGEST_PERIOD:
        raise InputError("That is a period of more than five years.", remedy="Check the year of both days.")
    if not 1 <= customers <= 100_000:
        raise InputError("The number of customers must be from 1 to 100,000.")
    if not _RELATIVE.fullmatch(within) or len(within) > LONGEST_WITHIN:
        raise InputError(f"{within[:20]!r} is no duration.", remedy="Write it as 60d.")
    return Period(first.isoformat(), last.isoformat(), customers, within, bool(fields.get("as_happened")))


def _charts(found: Backtest) -> dict[str, Any]:
    """The pictures of a backtest's result: who entered, what was sent, what was put on lists."""
    assert found.result is not None
    result = found.result
    first = datetime.fromisoformat(str(result["from"])).astimezone(UTC).date()
    last = (datetime.fromisoformat(str(result["to"])).astimezone(UTC) - timedelta(seconds=1)).date()
    last = max(last, first)
    return {
        "entrants": bar_chart({"entrants": result["entrants"]["by_day"]}, first, last),
        "messages": bar_chart(_turned(result["messages"]["by_day"]), first, last),
        "load": bar_chart({"calls and tasks": _summed(result["load"]["by_day"])}, first, last),
    }


def _turned(by_day: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """By channel and day what is given by day and channel."""
    turned: dict[str, dict[str, int]] = {}
    for day, channels in by_day.items():
        for channel, count in channels.items():
            turned.setdefault(channel.replace("_", "-"), {})[day] = count
    return dict(sorted(turned.items()))


def _summed(by_day: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {day: sum(counts.values()) for day, counts in by_day.items()}
