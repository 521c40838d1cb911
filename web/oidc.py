"""OpenID Connect: people sign in at an identity provider, by the authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import jwt
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc.errors import JoseError
from requests import RequestException

from schemas.errors import HoldfastError, SettingError, UnavailableError
from schemas.settings import Settings
from web.oidc_identity import ClaimRules, Identity, IdentityError
from web.published_keys import (
    PUBLISHED,
    TIMEOUT_SECONDS,
    UNREADABLE,
    PublishedKeys,
    check_safe_url,
    is_safe_url,
    read_json,
)

logger = logging.getLogger("holdfast.web")
CALLBACK = "/sign-in/oidc/callback"
LEEWAY_SECONDS = 60
FLOW_SECONDS = 600
# Where people are led back to from signing out there; to be registered there, too.
SIGNED_OUT = "/sign-in"


@dataclass(frozen=True)
class _Provider:
    authorize: str
    token: str
    userinfo: str | None
    post: bool
    keys: PublishedKeys
    jwks: str
    # Whether its answers say whose they are (RFC 9207).
    names_itself: bool
    # Where people sign out there (RP-initiated logout), if they can.
    way_out: str | None


class OidcProvider:
    """One identity provider, as settings describe it and as its own discovery document does."""

    READ_AGAIN_SECONDS = 3600.0
    # Where it doesn't answer, it isn't asked at every click.
    RETRY_SECONDS = 5.0

    def __init__(
        self,
        *,
        issuer: str,
        client: tuple[str, str | None],
        redirect: str,
        secret: bytes,
        name: str,
        claims: ClaimRules,
    ) -> None:
        self.issuer = issuer
        self.name = name
        self.claims = claims
        self._client = client
        self._redirect = redirect
        self._secret = secret
        self._provider: _Provider | None = None
        self._read_at = float("-inf")
        self._failed_at = float("-inf")
        self._reading = asyncio.Lock()

    @classmethod
    def read_settings(cls, settings: Settings, process_secret: str) -> OidcProvider | None:
        """From HOLDFAST_OIDC_…; None without an issuer. Raises SettingError."""
        given = settings.environ
        issuer = given.get("HOLDFAST_OIDC_ISSUER")
        if issuer is None:
            return None
        check_safe_url("HOLDFAST_OIDC_ISSUER", issuer)
        client = given.get("HOLDFAST_OIDC_CLIENT_ID")
        if client is None:
            raise SettingError(
                "HOLDFAST_OIDC_ISSUER is set, but not HOLDFAST_OIDC_CLIENT_ID.",
                remedy=f"Register a web application there with {settings.public_url}{CALLBACK} as its redirect URI.",
            )
        return cls(
            issuer=issuer,
            client=(client, given.get("HOLDFAST_OIDC_CLIENT_SECRET")),
            redirect=settings.public_url + CALLBACK,
            secret=(settings.secret_key or process_secret).split()[0].encode(),
            name=given.get("HOLDFAST_OIDC_NAME", urlsplit(issuer).hostname or issuer),
            claims=ClaimRules.read_settings(given),
        )

    async def begin(self, onward: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie by which its return is known. Raises UnavailableError."""
        provider = await self._discover()
        flow = f"{int(time.time())}.{secrets.token_urlsafe(24)}.{_encode(onward.encode())}"
        url, _ = self._session(provider).create_authorization_url(
            provider.authorize,
            state=self._derive("state", flow),
            nonce=self._derive("nonce", flow),
            code_verifier=self._derive("verifier", flow),
        )
        return cast(str, url), flow

    async def finish(self, flow: str, answer: Mapping[str, str]) -> tuple[Identity, str]:
        """Whom the provider vouches for, and where they wanted to go. Raises IdentityError, UnavailableError."""
        began, _, onward = [*flow.split("."), "", ""][:3]
        # Another of our processes may have begun it, by a clock that is ahead.
        if (
            not re.fullmatch("[0-9]{1,12}", began)
            or not -LEEWAY_SECONDS <= time.time() - int(began) <= FLOW_SECONDS
        ):
            raise IdentityError("This browser didn't begin to sign in, or too long ago.")
        if not hmac.compare_digest(
            answer.get("state", "").encode("utf-8", "surrogatepass"), self._derive("state", flow).encode()
        ):
            raise IdentityError("This answer belongs to another browser's attempt.")
        provider = await self._discover()
        # RFC 9207: providers that say who they are can't be mixed up.
        if answer.get("iss", None if provider.names_itself else self.issuer) != self.issuer:
            raise IdentityError("The answer comes from another provider.")
        if "code" not in answer:
            raise IdentityError(f"The provider let nobody in: {answer.get('error', 'no code')[:80]}.")
        token = await asyncio.to_thread(
            self._exchange, provider, answer["code"], self._derive("verifier", flow)
        )
        claims = await self._verify(provider, token, self._derive("nonce", flow))
        return self.claims.identify(self.issuer, claims), base64.urlsafe_b64decode(onward + "==").decode()

    async def find_way_out(self) -> str | None:
        """Where whoever signed out here signs out there, if that can be said; they come back to our sign-in page."""
        try:
            provider = await self._discover()
        except UnavailableError:
            return None
        if provider.way_out is None:
            return None
        # It asks whether that is meant: no id token is kept here that would tell it who they are.
        said = {
            "client_id": self._client[0],
            "post_logout_redirect_uri": self._redirect.removesuffix(CALLBACK) + SIGNED_OUT,
        }
        return f"{provider.way_out}{'&' if '?' in provider.way_out else '?'}{urlencode(said)}"

    async def _discover(self) -> _Provider:
        if self._provider is not None and not self._is_due():
            return self._provider
        async with self._reading:
            if self._is_due():
                await self._ask()
        if self._provider is None:
            raise UnavailableError(
                f"{self.name} can't be reached, or describes itself wrongly.",
                remedy="Try again in a moment; if it stays, an admin checks HOLDFAST_OIDC_ISSUER, "
                "and that this machine may reach it.",
            )
        return self._provider

    def _is_due(self) -> bool:
        now = time.monotonic()
        late = self._provider is None or now - self._read_at > self.READ_AGAIN_SECONDS
        return late and now - self._failed_at > self.RETRY_SECONDS

    async def _ask(self) -> None:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            self._provider = self._read(await asyncio.to_thread(read_json, url))
            self._read_at = time.monotonic()
        except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
            # What it said last goes on for now.
            logger.warning("the identity provider doesn't describe itself: %s", error)
            self._failed_at = time.monotonic()

    def _read(self, found: Mapping[str, Any]) -> _Provider:
        if found["issuer"] != self.issuer:
            raise ValueError("it calls itself otherwise")
        ways = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        jwks, way_out = found["jwks_uri"], found.get("end_session_endpoint")
        if not all(
            is_safe_url(url) for url in (found["authorization_endpoint"], found["token_endpoint"], jwks)
        ):
            raise ValueError("an address of it isn't https")
        known = self._provider
        return _Provider(
            authorize=found["authorization_endpoint"],
            token=found["token_endpoint"],
            userinfo=found.get("userinfo_endpoint"),
            post="client_secret_basic" not in ways,
            # As long as they are at the same place, those that were read stay good while it is away.
            keys=known.keys if known and known.jwks == jwks else PublishedKeys(jwks, "HOLDFAST_OIDC_ISSUER"),
            jwks=jwks,
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
            way_out=way_out if isinstance(way_out, str) and is_safe_url(way_out) else None,
        )

    def _session(self, provider: _Provider) -> Any:
        client, secret = self._client
        way = "none" if secret is None else "client_secret_post" if provider.post else "client_secret_basic"
        return OAuth2Session(
            client,
            secret,
            scope="openid email profile",
            redirect_uri=self._redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method=way,
            default_timeout=TIMEOUT_SECONDS,
        )

    def _exchange(self, provider: _Provider, code: str, verifier: str) -> Mapping[str, Any]:
        with self._session(provider) as session:
            try:
                token = dict(session.fetch_token(provider.token, code=code, code_verifier=verifier))
                if provider.userinfo and is_safe_url(provider.userinfo) and "id_token" in token:
                    told = jwt.decode(token["id_token"], options={"verify_signature": False})
                    # Some keep their id tokens short; asked for only where the address is missing.
                    if "email" not in told:
                        token["userinfo"] = session.get(provider.userinfo).json()
            except OAuthError as error:
                raise IdentityError(f"The provider refused the code: {str(error.error)[:80]}.") from error
            except (RequestException, ValueError, jwt.PyJWTError) as error:
                raise UnavailableError(
                    "The identity provider doesn't answer as it should.", remedy="Sign in again."
                ) from error
            return token

    async def _verify(self, provider: _Provider, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        written = token.get("id_token")
        if not isinstance(written, str):
            raise IdentityError("The provider sent no id token.")
        try:
            header = jwt.get_unverified_header(written)
            if header.get("alg") not in PUBLISHED:
                raise IdentityError("The id token is signed by a method that isn't let in.")
            key = await provider.keys.find(header.get("kid"))
            if key is None or key.algorithm_name != header["alg"]:
                raise IdentityError("No key that the provider publishes signed the id token.")
            claims = jwt.decode(
                written,
                key,
                algorithms=[header["alg"]],
                audience=self._client[0],
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "sub", "aud"]},
            )
            CodeIDToken(
                claims,
                header,
                {},
                {"nonce": nonce, "client_id": self._client[0], "access_token": token.get("access_token")},
            ).validate(leeway=LEEWAY_SECONDS)
        except HoldfastError:
            raise
        except (jwt.PyJWTError, JoseError, ValueError, TypeError, OverflowError) as error:
            raise IdentityError(f"The id token isn't good: {str(error)[:120].rstrip('.')}.") from error
        more = token.get("userinfo")
        return {**more, **claims} if isinstance(more, dict) and more.get("sub") == claims["sub"] else claims

    def _derive(self, purpose: str, flow: str) -> str:
        # Nothing is kept here between leaving and coming back: all that is random is in the browser's own cookie.
        return _encode(hmac.new(self._secret, f"oidc {purpose} {flow}".encode(), hashlib.sha256).digest())


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
