"""Work lists as they are shown: each task with how it stands, by the filters that people ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rules.calendar import next_midnight
from rules.tasks import Sla, sla_of
from store.asking import Source
from store.playbooks import load_policy
from store.reading_rows import TaskRow
from store.reading_tasks import list_tasks


class TaskItem(TaskRow):
    """A task as it stands now: on_time, due_soon (from its reminder on) or overdue; closed, as it stood then."""

    sla: Sla


def describe_task(row: TaskRow, now: datetime) -> TaskItem:
    """The row, with how it stands at `now`."""
    sla = sla_of(row.due_at, row.remind_at, row.closed_at or now)
    return TaskItem.trust({**vars(row), "sla": sla})


async def read_work_list(
    source: Source,
    now: datetime,
    *,
    assignee: str | None = None,
    holder: str | None = None,
    team: str | None = None,
    unassigned: bool = False,
    state: str | None = None,
    customer: str | None = None,
    due: str | None = None,
    limit: int = 100,
) -> Sequence[TaskItem]:
    """The most pressing first. due: `overdue` (open and late), `today` (open and due by midnight, the team's)."""
    before = None
    if due == "overdue":
        before = now
    elif due == "today":
        before = next_midnight(now, (await load_policy(source)).default_zone)
    rows = await list_tasks(
        source, assignee=assignee, holder=holder, team=team, unassigned=unassigned, state=state,
        customer=customer, due_before=before, limit=limit,
    )  # fmt: skip
    return [describe_task(row, now) for row in rows]
