"""Whether this process is well: `/healthz` for people, `/livez` and `/readyz` for whoever keeps it running.

Ready is who can answer: its database is there with the right tables, and it isn't stopping. Temporal may be away
meanwhile, as pages and events need none of it; `/healthz` tells of that, too.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from schemas.errors import HoldfastError
from store.faults import is_away
from store.patience import within
from store.reading_health import newest_revision, read_revision
from web.answers import Alive, Health, Part, Readiness
from web.edge import Edge, EdgeHere

router = APIRouter(tags=["health"])
ANSWER_SECONDS = 2.0


@router.get("/healthz", summary="Whether everything is up", responses={503: {"model": Health}})
async def health(edge: EdgeHere, response: Response) -> Health:
    """Needs no key. 503 when the database, its tables' version, or Temporal isn't as it should be."""
    (database, migrations), temporal = await asyncio.gather(_database(edge), _temporal(edge))
    well = database.ok and migrations.ok and temporal.ok
    response.status_code = 200 if well else 503
    return Health(success=well, database=database, migrations=migrations, temporal=temporal)


@router.get("/livez", summary="Whether this process lives")
async def live() -> Alive:
    """Needs no key, and asks nobody: a database that is away is no reason to start this process anew."""
    return Alive()


@router.get("/readyz", summary="Whether this process can answer", responses={503: {"model": Readiness}})
async def ready(request: Request, edge: EdgeHere, response: Response) -> Readiness:
    """Needs no key. 503 while it stops, while the database is away, or where its tables are another version's."""
    if getattr(request.app.state, "draining", False):
        response.status_code = 503
        return Readiness(success=False, detail="it is stopping")
    database, migrations = await _database(edge)
    well = database.ok and migrations.ok
    response.status_code = 200 if well else 503
    return Readiness(
        success=well, detail="ready" if well else (migrations if database.ok else database).detail
    )


async def _database(edge: Edge) -> tuple[Part, Part]:
    wanted = newest_revision()
    try:
        found = await within(ANSWER_SECONDS, read_revision(edge.database))
    except Exception as error:
        if not is_away(error):
            raise
        away = Part(ok=False, detail="The database can't be reached.")
        return away, Part(ok=False, detail="unknown while the database is away")
    if found == wanted:
        return Part(ok=True, detail="answers"), Part(ok=True, detail=f"at {found}")
    told = f"at {found or 'nothing'}, this version wants {wanted}: run `holdfast migrate`"
    return Part(ok=True, detail="answers"), Part(ok=False, detail=told)


async def _temporal(edge: Edge) -> Part:
    try:
        return Part(ok=True, detail=f"answers at {await edge.executions.check()}")
    except HoldfastError as error:
        return Part(ok=False, detail=error.message)
