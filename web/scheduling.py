"""A call that somebody of ours puts on a list, with a time or without, for a person or a team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.assigning import UNASSIGNED, team_of
from rules.booking import choose_free
from rules.calendar import working_due
from rules.tasks import OUTCOMES, due_after
from rules.working_hours import Busy
from schemas.access import Principal
from schemas.errors import ConflictError, InputError
from schemas.policy import Policy
from store.appointments import load_appointments, lock_calendars
from store.audit import record_change
from store.customers import Customer, lock_customers
from store.database import Connection
from store.tasks import UNATTENDED, Task, check_not_too_far, open_task

# Without a time it is due after so much, in working hours; and whoever has it is reminded so long before.
DUE_SECONDS = 24 * 3600
REMINDED = timedelta(minutes=15)


@dataclass(frozen=True)
class CallWish:
    """A call as somebody asks for it; `id` makes the same form once more the same call. `who` is a person, or a team of
    the policy's, on whose list it then waits; empty: the customer's own CSM.
    """

    id: str
    who: str
    about: str = ""
    starts_at: datetime | None = None


async def schedule_call(
    connection: Connection,
    customer: Customer,
    wish: CallWish,
    policy: Policy,
    actor: Principal,
    now: datetime,
) -> Task:
    """Put a call on the list of whoever is to make it; no run waits for it.

    Raises InputError for a time that is past or too far ahead, ConflictError where that person has another appointment
    then.
    """
    if wish.starts_at is not None and wish.starts_at <= now:
        raise InputError("That time lies in the past.", remedy="Name a moment to come.")
    check_not_too_far(wish.starts_at, now)
    owner = customer.profile.get("csm")
    who = wish.who or (owner if isinstance(owner, str) else "") or UNASSIGNED
    team = who if who in policy.teams else team_of(who, policy)
    await lock_customers(connection, [customer.id])
    if wish.starts_at is not None and who not in policy.teams:
        await lock_calendars(connection, [who])
        taken = (await load_appointments(connection, [who], now, without=wish.id))[who]
        if choose_free((who,), wish.starts_at, {who: [Busy(*one) for one in taken]}) is None:
            raise ConflictError(f"{who} has another call then.", remedy="Choose another time or person.")
    due_at = due_after(wish.starts_at) if wish.starts_at else working_due(now, DUE_SECONDS, policy)
    call = await open_task(
        connection,
        Task(
            id=wish.id,
            run_id=None,
            customer_id=customer.id,
            step="scheduled",
            occurrence=0,
            kind="call",
            title=f"Call {customer.called}",
            about=wish.about,
            assignee=who,
            escalated_to=None,
            outcomes=OUTCOMES,
            state="open",
            outcome=None,
            notes="",
            created_at=now,
            due_at=due_at,
            escalate_at=None,
            give_up_at=due_at + UNATTENDED,
            closed_at=None,
            team=team,
            assigned_because=f"{actor.name} put it on the list",
            remind_at=max(now, (wish.starts_at or due_at) - REMINDED),
            starts_at=wish.starts_at,
            calendar_sequence=1 if wish.starts_at else 0,
        ),
    )
    if call.customer_id != customer.id:
        raise ConflictError("That call is another customer's.", remedy="Open the page anew.")
    if call.created_at != now:
        # The same form once more.
        return call
    await record_change(
        connection, actor, "task.scheduled", object_kind="task", object_id=call.id,
        after={"kind": call.kind, "holder": call.holder, "due_at": call.due_at, "starts_at": call.starts_at,
               "about_length": len(call.about)},
    )  # fmt: skip
    return call
