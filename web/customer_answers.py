"""What the forms of a customer's page have in common: whose page it is, and the way back to it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import RedirectResponse

from schemas.errors import HoldfastError
from store.customers import Customer, need_customer
from web.edge import Edge
from web.forms import answer_form
from web.page_customer import path_of


async def find_posted(edge: Edge, user_id: str) -> Customer:
    """The customer whose page a form was posted from, by the caller's id. Raises NotFoundError."""
    async with edge.database.transaction() as connection:
        return await need_customer(connection, user_id.replace("\x00", ""))


def read_short(fields: Mapping[str, str], name: str) -> str:
    """A field of one line; what is longer than 200 characters is cut."""
    return fields.get(name, "").strip()[:200]


def answer_refused(customer: Customer, error: HoldfastError, tab: str = "") -> RedirectResponse:
    """Back to the customer's page, which says what was wrong."""
    told = f"{error.message} {error.remedy}"
    return answer_form(path_of(customer), told, refused=True, query={"tab": tab} if tab else None)


def answer_done(customer: Customer, told: str, tab: str = "") -> RedirectResponse:
    """Back to the customer's page, which says what was done."""
    return answer_form(path_of(customer), told, query={"tab": tab} if tab else None)
