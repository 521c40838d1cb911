"""What issuers of signed tokens publish: their keys, from an address that can be trusted."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import jwt

from schemas.errors import SettingError, UnavailableError

# The methods by which published keys may sign; nothing else is ever tried, whatever a token's header says.
PUBLISHED = ("RS256", "ES256")
TIMEOUT_SECONDS = 5.0
LARGEST_BYTES = 256 * 1024
# Whatever goes wrong while something is read from elsewhere.
UNREADABLE = (OSError, HTTPException, ValueError)


class PublishedKeys:
    """An issuer's keys (JWKS), read again now and then, and sooner when a token names one that isn't known."""

    READ_AGAIN_SECONDS = 300.0
    # Anybody can make up names of keys: they don't make us ask at every guess.
    RETRY_SECONDS = 10.0

    def __init__(self, url: str, setting: str) -> None:
        """`setting` is what to look at when they can't be read."""
        self._url = url
        self._setting = setting
        self._keys: Mapping[object, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, kid: object) -> jwt.PyJWK | None:
        """The key called so; without a name, the only one there is."""
        await self._refresh(self.READ_AGAIN_SECONDS)
        if self._find(kid) is None:
            await self._refresh(self.RETRY_SECONDS)
        return self._find(kid)

    def _find(self, kid: object) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    async def _refresh(self, older_than_seconds: float) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < older_than_seconds:
                return
            self._read_at = time.monotonic()
            try:
                self._keys = await asyncio.to_thread(self._read)
            except (OSError, HTTPException, ValueError, jwt.PyJWTError) as error:
                if not self._keys:
                    # The next request may ask anew.
                    self._read_at = float("-inf")
                    raise UnavailableError(
                        "The issuer's keys can't be read.",
                        remedy=f"Check {self._setting}.",
                    ) from error

    def _read(self) -> dict[object, jwt.PyJWK]:
        keys = jwt.PyJWKSet.from_dict(dict(read_json(self._url))).keys
        return {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}


def check_safe_url(variable: str, url: str) -> str:
    """`url`, if what comes from there can be trusted. Raises SettingError."""
    if not is_safe_url(url):
        raise SettingError(
            f"{variable} is {url!r}, which is no https address.",
            remedy="Write it like https://id.example.com/…; http is let in on this machine only.",
        )
    return url


def is_safe_url(url: str) -> bool:
    """Whether what comes from there can be trusted: https, or this machine."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and local))


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows where what comes from there can be trusted, too; never away from https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_safe_url(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            fp.close()
            raise ValueError("redirected to where nothing can be trusted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def read_json(url: str) -> Mapping[str, Any]:
    """The JSON object at `url`, in a thread of the caller's. Raises one of UNREADABLE."""
    if not is_safe_url(url):
        raise ValueError("not https")
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
        body = answer.read(LARGEST_BYTES + 1)
    if len(body) > LARGEST_BYTES:
        raise ValueError("too large")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - as everything else that can't be read
    return found
