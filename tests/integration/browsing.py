"""A browser without a screen: it keeps cookies, follows no redirect by itself, and posts forms as pages do."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx

from schemas.access import Principal, Role
from store.people import Person, add_person, set_password
from tests.integration.web_edge import NO_CERTIFICATES, RunningWeb
from web.passwords import hash_password

PASSWORD = "a horse, a battery, a staple"
ACTOR = Principal(kind="system", id="test", name="test", role="admin")


class Browser:
    """One browser; `get` and `post` send what a real one would, cookies and Origin included."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={"Accept": "text/html", **headers})

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """A form of ours, without the session's token unless it is among the `fields`."""
        headers = {"Accept": "text/html", "Origin": str(self.client.base_url).rstrip("/")}
        return await self.client.post(path, data=fields, headers=headers)

    async def csrf(self) -> str:
        """The token of the session, from a page."""
        page = await self.get("/me")
        found = re.search(r'<meta name="csrf" content="([^"]+)">', page.text)
        assert found, page.text
        return found[1]

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """A form with the session's token, as its page holds it."""
        return await self.post(path, csrf=await self.csrf(), **fields)

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.post("/sign-in", email=email, password=password)

    async def is_in(self) -> bool:
        return (await self.get("/me")).status_code == 200

    @property
    def token(self) -> str | None:
        """What the session's cookie holds."""
        return self.client.cookies.get("holdfast")


@contextlib.asynccontextmanager
async def open_browser(web: RunningWeb, agent: str = "Test/1.0") -> AsyncIterator[Browser]:
    headers = {"User-Agent": agent}
    async with httpx.AsyncClient(
        base_url=web.address, headers=headers, trust_env=False, timeout=30, verify=NO_CERTIFICATES
    ) as client:
        yield Browser(client)


async def hire(
    web: RunningWeb, email: str = "ada@example.com", role: Role = "admin", *, password: str | None = PASSWORD
) -> Person:
    """An account with a password, as if its owner had used a link."""
    async with web.other.transaction() as connection:
        person = await add_person(
            connection, ACTOR, email, email.partition("@")[0].title(), role, datetime.now(UTC)
        )
        if password is not None:
            await set_password(connection, ACTOR, person.id, await hash_password(password))
    return person


@contextlib.asynccontextmanager
async def signed_in(
    web: RunningWeb, role: Role = "admin", email: str | None = None
) -> AsyncIterator[Browser]:
    """A browser in front of which somebody of this role sits, signed in."""
    email = email or f"{role}-{uuid.uuid4().hex[:8]}@example.com"
    await hire(web, email, role)
    async with open_browser(web) as browser:
        assert (await browser.sign_in(email)).status_code == 303
        yield browser
