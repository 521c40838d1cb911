"""A browser in front of pages that are open to this machine, and what is true of each page."""

from __future__ import annotations

from typing import Any

import httpx

from tests.integration.web_edge import NO_CERTIFICATES, RunningWeb


def browser_of(web: RunningWeb, **more: Any) -> httpx.AsyncClient:
    """A client that shows no key; it posts forms from our own pages."""
    headers = {"Accept": "text/html", "Origin": web.address}
    given = {"timeout": 30, "trust_env": False, "verify": NO_CERTIFICATES, **more}
    return httpx.AsyncClient(base_url=web.address, headers=headers, **given)


async def page(browser: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """The HTML of a page, which brings no script or style of its own."""
    answer = await browser.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    return answer.text
