"""A Google service account: its key file, and the short-lived access tokens that it is exchanged for.

google-auth reads the key and signs; the exchange is one request of ours, under the deadline of what needs it,
where google-auth's own would try again behind our back.
Source: developers.google.com/identity/protocols/oauth2/service-account.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.auth import jwt
from google.auth.crypt import RSASigner
from google.auth.exceptions import GoogleAuthError

from channels.http_client import Answer, Exchange, HttpClient
from channels.outcome import AccountError, TransientError
from schemas.errors import SettingError

TOKEN_SECONDS = 3600
# A token is renewed so long before its end that it holds for the request it is fetched for.
RENEW_SECONDS = 120
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REMEDY = "Download a key of a service account (JSON) from the Google Cloud console, and name its path."


@dataclass(frozen=True)
class ServiceAccount:
    """What a key file says; `signer` holds the private key."""

    project_id: str
    client_email: str
    token_uri: str
    signer: Any = field(repr=False)


def read_service_account(name: str, path: str) -> ServiceAccount:
    """The account in the key file that the setting `name` points to; raises SettingError."""
    try:
        info = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"{name}: {path} can't be read: {error.strerror}.", remedy=_REMEDY) from None
    except ValueError:
        raise SettingError(f"{name}: {path} isn't JSON.", remedy=_REMEDY) from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        raise SettingError(f"{name}: {path} is no service account's key file.", remedy=_REMEDY)
    for needed in ("project_id", "client_email", "token_uri", "private_key"):
        if not isinstance(info.get(needed), str) or not info[needed]:
            raise SettingError(f"{name}: {path} has no `{needed}`.", remedy=_REMEDY)
    try:
        signer = RSASigner.from_service_account_info(info)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, GoogleAuthError):
        raise SettingError(f"{name}: the private key in {path} can't be used.", remedy=_REMEDY) from None
    return ServiceAccount(info["project_id"], info["client_email"], info["token_uri"], signer)


class AccessTokens:
    """Keeps one access token, and fetches the next one shortly before its end."""

    def __init__(
        self,
        account: ServiceAccount,
        client: HttpClient,
        *,
        scope: str,
        provider: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._client = client
        self._scope = scope
        self._provider = provider
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """A token that holds for at least two minutes.

        Raises AccountError where Google refuses the account, TransientError where it can't say now, and the
        errors of HttpClient.
        """
        async with self._lock:
            if self._clock() >= self._renew_at:
                await self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """This token was refused: fetch another one next time."""
        if token == self._token:
            self._renew_at = 0.0

    async def _renew(self) -> None:
        now = int(self._clock())
        claims = {
            "iss": self._account.client_email, "scope": self._scope, "aud": self._account.token_uri,
            "iat": now, "exp": now + TOKEN_SECONDS,
        }  # fmt: skip
        assertion = jwt.encode(self._account.signer, claims).decode()  # type: ignore[no-untyped-call]
        exchange = Exchange()
        answer = await self._client.request(
            "POST", self._account.token_uri, exchange, data={"grant_type": _GRANT, "assertion": assertion}
        )
        if answer.status != 200:
            self._refuse(answer, exchange)
        try:
            given = json.loads(answer.body)
            token, seconds = given["access_token"], float(given.get("expires_in", TOKEN_SECONDS))
        except (ValueError, KeyError, TypeError, AttributeError):
            token, seconds = "", 0.0
        if not isinstance(token, str) or not token:
            raise TransientError("Google's answer holds no access token.", provider=self._provider)
        self._token, self._renew_at = token, now + seconds - RENEW_SECONDS

    def _refuse(self, answer: Answer, exchange: Exchange) -> None:
        # nothing of a message has been sent yet
        kind = (
            AccountError if 300 <= answer.status < 500 and answer.status not in (408, 429) else TransientError
        )
        raise kind(
            f"Google gave no access token ({answer.status}): {' '.join(answer.body.split())[:300]}.",
            provider=self._provider,
            provider_code=str(answer.status),
            retry_after_seconds=exchange.retry_after_seconds,
        )
