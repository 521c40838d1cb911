"""What every page of one playbook has: its row, its file, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from schemas.draft import Opened
from schemas.errors import InputError, NotFoundError
from schemas.plan import CompiledPlaybook
from schemas.step_lines import find_lines
from store.database import Connection
from store.publications import list_file_problems, list_publications, list_versions, load_text
from store.reading_playbooks import list_figures
from web.edge import Edge
from web.workbench import Draft

# What each status comes to for customers and runs; `live` needs no words.
STANDS: Mapping[str, str] = {
    "draft": "A draft: nobody enters. It can be simulated, planned and played over the past.",
    "shadow": "In the shadow: it notes who would enter and what would be sent, and does nothing.",
    "paused": "Paused: nobody enters, and those inside stand still. Once it is live again they go on, but for what is "
    "overdue by more than its `max_overdue` then.",
    "retired": "Retired: nobody enters any more; those inside finish.",
}


async def load_frame(edge: Edge, request: Request, name: str) -> dict[str, Any]:
    """What every page of a playbook has: its row, its last publication, its file and the problems of that.

    Raises NotFoundError where there is neither a published playbook nor a file.
    """
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_figures(connection, now, name=name)
        history = await list_publications(connection, name=name, limit=1)
        noted = await list_file_problems(connection)
        live_text = await _live_text(connection, name) if rows else ""
    opened: Opened | None = None
    problems: Sequence[Mapping[str, Any]] = []
    draft: CompiledPlaybook | None = None
    if edge.workbench is not None:
        try:
            opened = await edge.workbench.open(f"{name}.yaml")
        except NotFoundError:
            opened = None
    # A page that is only brought up to date shows the problems that it has.
    live = "x-live" in request.headers and bool(rows)
    if edge.workbench is not None and opened is not None and opened.exists and not live:
        checked = await edge.workbench.check(Draft(opened.file, opened.text))
        problems, draft = [problem.to_json() for problem in checked.problems], checked.playbook
    else:
        problems = [
            p for file in noted if file.file.rpartition("/")[2] == f"{name}.yaml" for p in file.problems
        ]
    if not rows and opened is None:
        raise NotFoundError(
            f"There is no playbook {name!r}.", remedy="The page Playbooks lists those there are."
        )
    text = opened.text if opened else live_text
    return {
        "name": name,
        "figures": rows[0] if rows else None,
        "stands": STANDS.get(rows[0].status, "") if rows else "Not published: nobody enters.",
        "draft": draft,
        "title": rows[0].title if rows else draft.title if draft else name,
        "last": history[0] if history else None,
        "opened": opened,
        "problems": problems,
        "lines": find_lines(text) if text else {},
        "computed_at": now,
        "editable": edge.workbench is not None,
        "base": f"/playbooks/{quote(name)}",
    }


async def _live_text(connection: Connection, name: str) -> str:
    rows = await list_versions(connection, name)
    live = next((row.version for row in rows if row.live), None)
    try:
        return await load_text(connection, name, live) if live else ""
    except InputError:
        # It was published without a file.
        return ""
