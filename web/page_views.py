"""Saving, sharing and deleting views of the list of customers: everybody has their own, and may share them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse
from starlette.requests import Request

from schemas.access import Principal
from schemas.errors import InputError, NotFoundError
from store.audit import record_change
from store.saved_views import delete_view, save_view, set_default
from web.access import poster
from web.edge import EdgeHere
from web.forms import answer_form, read_form
from web.overview_query import kept_pairs, read_query
from web.page_overview import PAGE

router = APIRouter(include_in_schema=False)
# A view is one's own: whoever may look may save how they look.
ViewPoster = Annotated[Principal, Depends(poster("read"))]


@router.post("/views")
async def save(request: Request, edge: EdgeHere, me: ViewPoster) -> RedirectResponse:
    """The list as it is shown now gets a name; the same name again replaces what was there."""
    fields = await read_form(request)
    kept = kept_pairs(parse_qs(fields.get("query", "")))
    try:
        read_query(kept)
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            shared, is_default = "shared" in fields, "is_default" in fields
            view_id = await save_view(
                connection,
                me.id,
                PAGE,
                fields.get("name", ""),
                kept,
                now,
                shared=shared,
                is_default=is_default,
            )
            await record_change(
                connection, me, "view.saved", object_kind="view", object_id=view_id,
                after={"page": PAGE, "shared": shared, "is_default": is_default},
            )  # fmt: skip
    except InputError as error:
        return _back(kept, f"{error.message} {error.remedy}", refused=True)
    return _back(kept | {"view": [view_id]}, "The view is saved.")


@router.post("/views/{view_id}/delete")
async def delete(request: Request, edge: EdgeHere, me: ViewPoster, view_id: str) -> RedirectResponse:
    """The view goes; the customers stay as they are."""
    try:
        async with edge.database.transaction() as connection:
            view = await delete_view(connection, me.id, view_id)
            await record_change(
                connection, me, "view.deleted", object_kind="view", object_id=view.id,
                before={"page": PAGE, "shared": view.shared},
            )  # fmt: skip
    except NotFoundError as error:
        return _back({}, f"{error.message} {error.remedy}", refused=True)
    return _back({"view": ["all"]}, f"The view “{view.name}” is deleted.")


@router.post("/views/{view_id}/default")
async def default(request: Request, edge: EdgeHere, me: ViewPoster, view_id: str) -> RedirectResponse:
    """The page opens with this view from now on, or (`on` is empty) with everybody again."""
    on = (await read_form(request)).get("on", "") == "yes"
    try:
        async with edge.database.transaction() as connection:
            view = await set_default(connection, me.id, view_id, on)
            await record_change(
                connection,
                me,
                "view.default",
                object_kind="view",
                object_id=view.id,
                after={"is_default": on},
            )
    except NotFoundError as error:
        return _back({}, f"{error.message} {error.remedy}", refused=True)
    told = f"Customers opens with “{view.name}”." if on else "Customers opens with everybody."
    return _back({**kept_pairs(view.query), "view": [view.id]}, told)


def _back(pairs: dict[str, list[str]], told: str, *, refused: bool = False) -> RedirectResponse:
    return answer_form("/customers", told, refused=refused, query=pairs)
