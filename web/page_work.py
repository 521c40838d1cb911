"""The list of work: what is mine, my team's and nobody's yet; taking, moving, handing on and completing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from rules.calendar import next_midnight
from rules.urgent_actions import UrgentAction, urgent_actions
from schemas.errors import ConflictError, InputError
from schemas.link_token import LinkKey, LinkToken
from schemas.settings import is_web_address
from store.overview_rows import OverviewRow
from store.playbooks import load_policy
from store.reading_work import CustomerFacts, count_work, read_work_customers
from store.sharing import reassign_task, release_task, take_task
from store.tasks import Report, complete_task, load_task, note_task
from web.access import session_of
from web.api_runs import Word
from web.calls import reschedule
from web.edge import Edge, EdgeHere, Poster, Reader
from web.forms import answer_form, read_form, read_local
from web.shared_pages import share_page
from web.work_list import TaskItem, read_work_list

router = APIRouter(include_in_schema=False)
View = Literal["mine", "unassigned", "all", ""]
Due = Literal["overdue", "today", ""]
NOTED = {"take": "taken", "release": "released", "reassign": "reassigned", "reschedule": "rescheduled"}
DONE = {
    "take": "It is yours.", "release": "Given back.", "reassign": "Handed on.", "reschedule": "Moved.",
}  # fmt: skip
ROWS = 100
BOOKING_TRAIT = "booking_url"
# From this share on a factor of churn is worth telling whoever calls.
TOLD_FROM = 0.3
# What of the list's own address a form may lead back to.
_KEPT = ("view", "team", "due", "mine", "assignee")


@dataclass(frozen=True)
class WorkItem:
    """A piece of work with what is known of its customer; `why` are the strongest reasons to think of."""

    task: TaskItem
    row: OverviewRow | None
    facts: CustomerFacts | None
    why: tuple[tuple[str, float], ...]
    urgent: tuple[UrgentAction, ...]
    booking: str | None


@router.get("/tasks")
async def tasks(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    view: View = "",
    assignee: Word = None,
    mine: Word = None,
    team: Word = None,
    due: Due | None = None,
) -> HTMLResponse:
    """Calls and tasks, each with how it stands, what is known of the customer, and the ways it may go.

    Whoever is signed in sees their own first; where pages are open, `mine` says whose those are.
    """
    signed_in = await _email(request)
    who = signed_in or mine or ""
    named = bool(mine or assignee)
    chosen: View = view or ("mine" if signed_in and not named and not team else "all")
    holder = mine if named else who if chosen == "mine" else None

    async def read() -> Mapping[str, Any]:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            policy = await load_policy(connection)
            rows = await read_work_list(
                connection, now, assignee=assignee or None, holder=holder or None, team=team or None,
                unassigned=chosen == "unassigned", due=due or None, limit=ROWS,
            )  # fmt: skip
            midnight = next_midnight(now, policy.default_zone)
            counts = await count_work(connection, now, midnight, mine=who or None, team=team or None)
            known = await read_work_customers(
                connection,
                [row.user_id for row in rows if row.state == "open"],
                now,
                booking_trait=BOOKING_TRAIT,
            )
        return {
            "items": [_item(edge, row, known.get(row.user_id), now) for row in rows if row.state == "open"],
            "closed": [row for row in rows if row.state != "open"],
            "most": ROWS,
            "counts": counts,
            "view": chosen,
            "assignee": assignee or "",
            "mine": mine or "",
            "team": team or "",
            "due": due or "",
            "teams": policy.teams,
            "people": sorted({person for one in policy.teams.values() for person in one.members}),
            "zone": policy.default_zone,
            "whoever": who or assignee or "",
            "signed_in": signed_in,
            "back": urlencode({key: value for key, value in request.query_params.items() if key in _KEPT}),
            "at": now,
        }

    return await share_page(request, me, "tasks.html", read, signed_in)


@router.post("/tasks/{task_id}/complete")
async def complete(request: Request, edge: EdgeHere, poster: Poster, task_id: str) -> RedirectResponse:
    """Somebody says how it went."""
    fields = await read_form(request)
    who = await _who(request, fields)
    try:
        report = Report(
            notes=fields.get("notes", "")[:5000],
            satisfaction_rating=_whole(fields, "rating", 1, 5),
            duration_minutes=_whole(fields, "minutes", 0, 1440),
            follow_up_at=await _local(edge, fields, "follow_up"),
        )
        done = await complete_task(
            edge.database,
            task_id,
            fields.get("outcome", ""),
            by=who or poster.name,
            report=report,
            actor=poster,
        )
    except (InputError, ConflictError) as error:
        return _back(fields, f"{error.message} {error.remedy}", who, refused=True)
    edge.bell.ring()
    return _back(fields, f"Noted: {done.title}: {(done.outcome or '').replace('_', ' ')}.", who)


@router.post("/tasks/{task_id}/{verb}")
async def change(
    request: Request,
    edge: EdgeHere,
    poster: Poster,
    task_id: str,
    verb: Literal["take", "release", "reassign", "reschedule"],
) -> RedirectResponse:
    """Somebody takes work, gives it back, hands it on, or agrees on another time."""
    fields = await read_form(request)
    who = await _who(request, fields)
    try:
        starts_at = await _local(edge, fields, "starts_at")
        due_at = await _local(edge, fields, "due_at")
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            before = await load_task(connection, task_id, lock=False)
            match verb:
                case "take":
                    await take_task(connection, task_id, _needed(who, "Say who you are to take it."), now)
                case "release":
                    await release_task(connection, task_id, now)
                case "reassign":
                    to = _needed(fields.get("to", "").strip()[:200], "Say to whom it goes.")
                    await reassign_task(connection, task_id, to, who or poster.name, now)
                case "reschedule":
                    await reschedule(connection, task_id, now, starts_at=starts_at, due_at=due_at)
            after = await load_task(connection, task_id)
            await note_task(connection, poster, NOTED[verb], before, after)
    except (InputError, ConflictError) as error:
        return _back(fields, f"{error.message} {error.remedy}", who, refused=True)
    return _back(fields, DONE[verb], who)


async def _email(request: Request) -> str:
    """By which name work is given to whoever is signed in; empty where nobody is."""
    session = await session_of(request)
    return session.email if session is not None else ""


async def _who(request: Request, fields: Mapping[str, str]) -> str:
    """Whoever is signed in; where pages are open, whoever they say they are."""
    return await _email(request) or fields.get("by", "").strip()[:200]


def _item(
    edge: Edge, task: TaskItem, known: tuple[CustomerFacts, OverviewRow] | None, now: datetime
) -> WorkItem:
    if known is None:
        return WorkItem(task, None, None, (), (), None)
    facts, row = known
    strongest = sorted(facts.factors.items(), key=lambda one: -one[1])
    # That somebody is to call stands on the list already.
    urgent = tuple(one for one in urgent_actions(row.situation, now=now) if one.kind != "call_required")
    why = tuple((name, share) for name, share in strongest if share >= TOLD_FROM)[:3]
    return WorkItem(task, row, facts, why, urgent, _booking(edge, facts))


def _booking(edge: Edge, facts: CustomerFacts) -> str | None:
    """Where this customer books a call, as messages to them have it."""
    own = (facts.own_booking or "").strip()
    if own and is_web_address(own):
        return own
    if edge.shared.booking_url or edge.shared.secret_key is None or not facts.csm:
        return edge.shared.booking_url
    written = LinkKey(edge.shared.secret_key).sign(LinkToken("book", facts.id))
    return f"{edge.shared.public_url}/book/{written}"


def _needed(written: str, otherwise: str) -> str:
    if not written:
        raise InputError(otherwise)
    return written


def _whole(fields: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    written = fields.get(name, "").strip()
    if not written:
        return None
    if (
        not written.isascii()
        or not written.isdigit()
        or len(written) > 9
        or not least <= int(written) <= most
    ):
        raise InputError(f"The {name} must be a whole number from {least} to {most}.")
    return int(written)


async def _local(edge: Edge, fields: Mapping[str, str], name: str) -> datetime | None:
    """A moment as browsers write it, by the team's clock."""
    written = fields.get(name, "").strip()
    if not written:
        return None
    async with edge.database.transaction() as connection:
        policy = await load_policy(connection)
    return read_local(written, policy.default_zone)


def _back(fields: Mapping[str, str], told: str, who: str, *, refused: bool = False) -> RedirectResponse:
    kept = {name: value for name, value in parse_qsl(fields.get("back", "")[:1000]) if name in _KEPT}
    if not kept and fields.get("by", "").strip():
        kept = {"mine": who}
    return answer_form("/tasks", told, refused=refused, query=kept)
