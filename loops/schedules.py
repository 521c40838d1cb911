"""What Temporal starts by itself: everybody scored daily, churn models trained weekly. And starting either by hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from schemas.population_run import (
    BATCH_QUEUE,
    POPULATION_WORKFLOW,
    PopulationCall,
    PopulationProgress,
    population_id,
)
from schemas.training_run import TRAINING_WORKFLOW, TrainingCall

log = logging.getLogger(__name__)

# What was missed while Temporal was away is made up for if it is no older than this.
CATCH_UP = timedelta(hours=12)


@dataclass(frozen=True)
class Routine:
    """Something that is started at a time of day (UTC), on all days or one of the week (0 is Sunday)."""

    id: str
    workflow: str
    workflow_id: str
    call: object
    hour: int
    minute: int
    weekday: int | None
    note: str

    def schedule(self) -> Schedule:
        """As Temporal keeps it. One at a time: what is still at work when the next falls due isn't disturbed."""
        days = [] if self.weekday is None else [ScheduleRange(self.weekday)]
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow, self.call, id=self.workflow_id, task_queue=BATCH_QUEUE
            ),
            spec=ScheduleSpec(
                calendars=[
                    ScheduleCalendarSpec(
                        hour=[ScheduleRange(self.hour)],
                        minute=[ScheduleRange(self.minute)],
                        **({"day_of_week": days} if days else {}),
                        comment=self.note,
                    )
                ]
            ),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
            state=ScheduleState(note=self.note),
        )


ROUTINES: Sequence[Routine] = (
    Routine(
        "holdfast-population", POPULATION_WORKFLOW, "scoring/population", PopulationCall(), 0, 5, None,
        "scores everybody, just after midnight (UTC)",
    ),
    Routine(
        "holdfast-training", TRAINING_WORKFLOW, "scoring/training", TrainingCall(), 4, 0, 0,
        "trains the churn models, on Sundays",
    ),
)  # fmt: skip


async def ensure_schedules(client: Client, routines: Sequence[Routine] = ROUTINES) -> int:
    """Have the server keep our schedules, as this version means them; returns how many it keeps.

    What an operator paused stays paused. A server that knows no schedules (the one for tests) is left alone.
    """
    kept = 0
    for routine in routines:
        try:
            await _ensure(client, routine)
            kept += 1
        except RPCError as error:
            if error.status != RPCStatusCode.UNIMPLEMENTED:
                raise
            log.warning("this Temporal server knows no schedules; %s isn't kept", routine.id)
    return kept


async def _ensure(client: Client, routine: Routine) -> None:
    meant = routine.schedule()
    try:
        await client.create_schedule(routine.id, meant)
    except ScheduleAlreadyRunningError:

        async def update(given: ScheduleUpdateInput) -> ScheduleUpdate:
            meant.state = given.description.schedule.state
            return ScheduleUpdate(meant)

        await client.get_schedule_handle(routine.id).update(update)


async def start_population(
    client: Client, day: date, *, at_once: int = PopulationCall().at_once
) -> WorkflowHandle[object, PopulationProgress]:
    """Score everybody now; joins the day's run if there is one at work."""
    return await client.start_workflow(
        POPULATION_WORKFLOW,
        PopulationCall(day=day, at_once=at_once),
        id=population_id(day),
        task_queue=BATCH_QUEUE,
        result_type=PopulationProgress,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
