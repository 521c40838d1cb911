"""`/api/customer-success/onboarding`: how far customers have come, and telling of a milestone that was reached."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AliasChoices, ConfigDict, Field

from schemas.access import Principal
from schemas.errors import InputError, NotFoundError
from schemas.milestones import Milestones
from schemas.problem import nearest
from scoring.onboarding import ONBOARDING_DAYS, BlockerKind, Onboarding
from store.audit import record_change
from store.customers import find_customer, lock_customers
from store.live_milestones import load_milestones
from store.milestones import Reached, load_reached, reach
from store.reading_onboarding import OnboardingRow, count_onboarding, list_onboarding, read_onboarding
from store.reading_rows import Row
from web.answers import Answer
from web.api_customers import UserId
from web.api_runs import Limit, Word
from web.asked import Asked
from web.cursors import read_offset_cursor, write_cursor
from web.edge import Actor, EdgeHere, caller_of, own_or
from web.onboarding import tell_onboarding

router = APIRouter(prefix="/api/customer-success/onboarding", tags=["onboarding"])
Own = Annotated[Principal, Depends(own_or("read"))]
NAME = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class MilestoneDetails(Asked):
    """What is known of how it was reached: the days it took, whether somebody helped, and how satisfied they were."""

    time_to_complete: Annotated[float | None, Field(ge=0, le=36500, description="In days.")] = None
    assistance_required: bool | None = None
    satisfaction_rating: Annotated[int | None, Field(ge=1, le=5)] = None


class MilestoneTold(Asked):
    """Who has reached which milestone; `milestoneType` is one of milestones.yaml."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "supplier-1", "milestoneType": "first_form",
                    "metadata": {"timeToComplete": 6.5, "assistanceRequired": False, "satisfactionRating": 5},
                }
            ]
        }
    )  # fmt: skip

    user_id: Annotated[NAME, Field(validation_alias=AliasChoices("userId", "customerId", "supplierId"))]
    milestone_type: NAME
    metadata: MilestoneDetails = MilestoneDetails()


class MilestoneAnswer(Answer):
    """The milestone as it is known now; `new` is false where it had been reached before, and nothing was changed."""

    user_id: str
    milestone_type: str
    name: str
    new: bool
    achieved_at: datetime
    days_to_achieve: int | None
    target_days: int
    is_critical_path: bool


class BlockerRow(Row):
    """What stands in the way."""

    kind: BlockerKind
    description: str


class PathStep(Row):
    """One milestone of the path; `day` is the day since the sign-up on which it was reached."""

    milestone_type: str
    name: str
    description: str
    target_days: int
    due_on: date
    is_critical_path: bool
    weight_score: float
    achieved_at: datetime | None
    day: int | None
    late_days: int


class OnboardingProgress(Row):
    """Where a customer stands: steps are those of the critical path, `currentStep` counts from 1 and is one more than
    `totalSteps` when all are done. `progress` is the weight reached of all, 0 to 1.
    """

    user_id: str
    business_name: str | None
    in_onboarding: bool
    current_step: int
    current_milestone: str | None
    total_steps: int
    milestones_completed: int
    total_milestones: int
    progress: float
    days_in_onboarding: int
    expected_completion_date: date | None
    completed_on: date | None
    off_track: bool
    blockers: list[BlockerRow]
    next_actions: list[str]


class OnboardingAnswer(Answer):
    """One customer's onboarding, with the path."""

    onboarding: OnboardingProgress
    path: list[PathStep]


class OnboardingList(Answer):
    """Customers in onboarding, those off track first."""

    onboarding: list[OnboardingProgress]
    total: int
    total_off_track: int
    next_cursor: str | None


@router.post("/milestone", summary="Tell that a customer has reached a milestone")
async def tell_milestone(edge: EdgeHere, caller: Actor, told: MilestoneTold) -> MilestoneAnswer:
    """Once per customer and milestone: telling it again answers with what is known and changes nothing."""
    async with edge.database.transaction() as connection:
        customer = await find_customer(connection, told.user_id)
        if customer is None:
            raise NotFoundError(
                f"There is no customer {told.user_id[:200]!r}.", remedy="Ids are the userId of the events."
            )
        milestones = await load_milestones(connection)
        milestone = milestones.by_type.get(told.milestone_type)
        if milestone is None:
            raise _unknown(told.milestone_type, milestones)
        if edge.move is None:
            raise NotFoundError("This process can't take events.", remedy="Ask the web process.")
        await lock_customers(connection, [customer.id])
        now = await edge.database.clock.read(connection)
        details = {
            name: value
            for name, value in told.metadata.model_dump(by_alias=False).items()
            if value is not None
        }
        new = await reach(
            connection,
            [Reached(customer.id, milestone, now, "api", counts=True, details=details)],
            now,
            move=edge.move,
        )
        row = (await load_reached(connection, [customer.id]))[customer.id][milestone.type]
        if new:
            await record_change(
                connection, caller, "milestone.reached", object_kind="customer", object_id=customer.id,
                after={"milestone": milestone.type, "days_to_achieve": row.days_to_achieve},
            )  # fmt: skip
    if new:
        edge.bell.ring()
    return MilestoneAnswer(
        user_id=customer.external_id,
        milestone_type=milestone.type,
        name=milestone.name,
        new=bool(new),
        achieved_at=row.achieved_at,
        days_to_achieve=row.days_to_achieve,
        target_days=milestone.target_days,
        is_critical_path=milestone.critical,
    )


@router.get("", summary="List customers in onboarding", dependencies=[Depends(caller_of)])
async def list_(
    edge: EdgeHere,
    csm: Word = None,
    segment: Annotated[Literal["new_user", "established", "power_user"] | None, Query()] = None,
    off_track: Annotated[bool, Query(alias="offTrack")] = False,
    limit: Limit = 50,
    cursor: Word = None,
) -> OnboardingList:
    """Who signed up within 30 days or has something of the critical path to do, and hasn't cancelled."""
    offset = read_offset_cursor(cursor)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        milestones = await load_milestones(connection)
        rows = await list_onboarding(
            connection, milestones, now, young_days=ONBOARDING_DAYS, csm=csm, segment=segment, off_track=off_track,
            limit=limit + 1, offset=offset,
        )  # fmt: skip
        totals = await count_onboarding(
            connection, milestones, now, young_days=ONBOARDING_DAYS, csm=csm, segment=segment
        )
    return OnboardingList(
        onboarding=[_progress(row, tell_onboarding(row, milestones, now)) for row in rows[:limit]],
        total=totals.off_track if off_track else totals.customers,
        total_off_track=totals.off_track,
        next_cursor=write_cursor(offset + limit) if len(rows) > limit else None,
    )


@router.get("/{userId:path}", summary="A customer's onboarding")
async def read(edge: EdgeHere, caller: Own, user_id: UserId) -> OnboardingAnswer:
    """As of this moment. A customer may read their own; blockers and next actions are the operators' alone."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        row = await read_onboarding(connection, user_id)
        milestones = await load_milestones(connection)
    told = tell_onboarding(row, milestones, now)
    progress = _progress(row, told)
    if not caller.may("read"):
        progress = progress.model_copy(update={"blockers": [], "next_actions": []})
    return OnboardingAnswer(
        onboarding=progress,
        path=[
            PathStep(
                milestone_type=step.milestone.type,
                name=step.milestone.name,
                description=step.milestone.description,
                target_days=step.milestone.target_days,
                due_on=step.due_on,
                is_critical_path=step.milestone.critical,
                weight_score=step.milestone.weight,
                achieved_at=step.achieved_at,
                day=step.day,
                late_days=step.late_days,
            )
            for step in told.path
        ],
    )


def _progress(row: OnboardingRow, told: Onboarding) -> OnboardingProgress:
    return OnboardingProgress(
        user_id=row.user_id,
        business_name=row.name,
        in_onboarding=told.in_onboarding,
        current_step=told.current_step,
        current_milestone=told.current.type if told.current else None,
        total_steps=told.total_steps,
        milestones_completed=told.milestones_completed,
        total_milestones=told.total_milestones,
        progress=round(told.share, 4),
        days_in_onboarding=told.days_in_onboarding,
        expected_completion_date=told.expected_completion,
        completed_on=told.completed_on,
        off_track=told.off_track,
        blockers=[BlockerRow(kind=one.kind, description=one.description) for one in told.blockers],
        next_actions=told.next_actions,
    )


def _unknown(name: str, milestones: Milestones) -> InputError:
    close = nearest(name, milestones.by_type)
    known = ", ".join(milestones.by_type)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return InputError(f"There is no milestone {name[:200]!r}.", remedy=f"{meant}Known are: {known}.")
