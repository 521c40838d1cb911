"""Signed tokens (JWT) by which the product's own users and services show who they are, without an account here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt

from schemas.access import ROLES, Principal
from schemas.errors import SettingError
from schemas.settings import SHORTEST_SECRET, Settings
from web.keys import NoKeyError
from web.published_keys import PUBLISHED, PublishedKeys, check_safe_url

AUDIENCE = "holdfast"
LONGEST = timedelta(hours=24)
LEEWAY_SECONDS = 10
LONGEST_TOKEN = 8192
LONGEST_NAME = 200
# By a shared secret, or as PUBLISHED. Nothing else is ever tried, whatever a token's header says.
SHARED = "HS256"


class TokenError(NoKeyError):
    """This token isn't good."""

    code = "HF157"
    remedy = "Make another: docs/access.md says what it holds and how it's signed."


class UserTokens:
    """Reads tokens signed by HS256 with `secret`, or by RS256 or ES256 with a key that `keys` finds."""

    def __init__(self, secret: str | None, keys: PublishedKeys | None, issuer: str | None) -> None:
        self._secret = secret
        self._keys = keys
        self._issuer = issuer

    @classmethod
    def read_settings(cls, settings: Settings) -> UserTokens | None:
        """From HOLDFAST_TOKEN_SECRET, _JWKS_URL and _ISSUER; None without any. Raises SettingError."""
        secret = settings.environ.get("HOLDFAST_TOKEN_SECRET")
        url = settings.environ.get("HOLDFAST_TOKEN_JWKS_URL")
        issuer = settings.environ.get("HOLDFAST_TOKEN_ISSUER")
        if secret is not None and len(secret) < SHORTEST_SECRET:
            raise SettingError(
                f"HOLDFAST_TOKEN_SECRET has {len(secret)} characters; it needs at least {SHORTEST_SECRET}.",
                remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        if url is not None and issuer is None:
            raise SettingError(
                "HOLDFAST_TOKEN_JWKS_URL is set, but not HOLDFAST_TOKEN_ISSUER.",
                remedy="Set it to what the tokens' `iss` says: others may be signed by the same keys.",
            )
        if secret is None and url is None:
            return None
        if url is not None:
            check_safe_url("HOLDFAST_TOKEN_JWKS_URL", url)
        keys = None if url is None else PublishedKeys(url, "HOLDFAST_TOKEN_JWKS_URL")
        return cls(secret, keys, issuer)

    async def read(self, token: str) -> Principal:
        """Whom the token names. Raises TokenError; UnavailableError while the issuer's keys can't be had."""
        claims = await self._verify(token)
        if not isinstance(claims["exp"], int | float):
            # The library takes digits in quotes for a number, too.
            raise TokenError("The token isn't good: exp is no number.")
        if claims["exp"] > datetime.now(UTC).timestamp() + LONGEST.total_seconds() + LEEWAY_SECONDS:
            raise TokenError(f"The token is good for longer than {LONGEST.total_seconds() / 3600:.0f} hours.")
        subject, role = claims["sub"], claims.get("role", "customer")
        if not isinstance(role, str) or role not in ROLES:
            raise TokenError("The token's role is none of ours.")
        if not subject.strip() or len(subject) > LONGEST_NAME or not _is_storable(subject):
            raise TokenError("The token's sub names nobody.")
        return Principal(
            kind="token",
            id=subject,
            name=_read_name(claims.get("name")) or subject,
            role=role,
            customer=subject if role == "customer" else None,
        )

    async def _verify(self, token: str) -> Mapping[str, Any]:
        if len(token) > LONGEST_TOKEN:
            raise TokenError("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            key = await self._key(algorithm, header.get("kid"))
            return jwt.decode(
                token,
                key,
                algorithms=[cast(str, algorithm)],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud", *(["iss"] if self._issuer else [])]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            # Only the library's reason, which quotes nothing of the token.
            reason = str(error) if isinstance(error, jwt.InvalidTokenError) else "it can't be read"
            raise TokenError(f"The token isn't good: {reason.rstrip('.')}.") from error

    async def _key(self, algorithm: object, kid: object) -> str | jwt.PyJWK:
        if algorithm == SHARED and self._secret is not None:
            return self._secret
        if algorithm in PUBLISHED and self._keys is not None:
            key = await self._keys.find(kid)
            if key is not None and key.algorithm_name == algorithm:
                return key
            raise TokenError("No key that its issuer publishes signed the token.")
        raise TokenError("The token is signed by a method that isn't let in here.")


def _read_name(claimed: object) -> str:
    """What people are shown, of characters that are seen: it is kept with whatever its bearer does."""
    if not isinstance(claimed, str):
        return ""
    return "".join(c for c in " ".join(claimed.split()) if c.isprintable())[:LONGEST_NAME].strip()


def _is_storable(text: str) -> bool:
    # Half of a surrogate pair may be written in JSON, and is no text.
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
