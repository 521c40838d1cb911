"""An identity provider on real HTTP: discovery, authorization code with PKCE, JWKS; it misbehaves when told to."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.standins.http import Request, respond
from tests.standins.server import HttpStandIn

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Asked:
    """What somebody was sent here with."""

    query: Mapping[str, str]
    used: bool = False


@dataclass
class Behaviour:
    """How it answers: `claims` change the id token's (None leaves one out), `alg` signs it otherwise."""

    claims: dict[str, Any] = field(default_factory=dict)
    alg: str = "RS256"
    userinfo: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    stranger: bool = False


@cache
def _make_key() -> rsa.RSAPrivateKey:
    """The first key of every stand-in of a process: to find one takes longer than most tests."""
    return rsa.generate_private_key(65537, 2048)


class OidcStandIn(HttpStandIn):
    """The provider; an asynchronous context manager. `person` is who sits in front of it."""

    client_id, client_secret, kid = "holdfast-client", "a client's secret", "k1"

    def __init__(self) -> None:
        super().__init__()
        self.person: dict[str, Any] = {
            "sub": "248289761001", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace",
        }  # fmt: skip
        self.behaviour = Behaviour()
        self.asked: list[str] = []
        self._codes: dict[str, Asked] = {}
        self._keys: dict[str, tuple[Private, str]] = {}
        self.publish(self.kid, _make_key(), "RS256")

    def publish(self, kid: str, key: Private, alg: str) -> None:
        """Another key, of this name."""
        self._keys[kid] = (key, alg)

    def sign(self, claims: Mapping[str, Any], kid: str | None = None) -> str:
        """A token of these claims by a key that is published."""
        key, alg = self._keys[kid or self.kid]
        return jwt.encode(dict(claims), key, alg, headers={"kid": kid or self.kid})

    def consent(self, url: str) -> str:
        """The person agrees: where their browser is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = Asked(query)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        """Discovery, keys, tokens, and who somebody is."""
        self.asked.append(request.path)
        match request.path:
            case "/.well-known/openid-configuration":
                yield self._json(self._metadata() | self.behaviour.metadata)
            case "/jwks":
                yield self._json({"keys": [self._public(kid) for kid in self._keys]})
            case "/token":
                yield self._token(request)
            case "/userinfo":
                yield self._json(self.behaviour.userinfo or {})
            case _:
                yield respond(404, b"{}")

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "none"],
        }

    def _token(self, request: Request) -> bytes:
        asked = self._codes.get(request.form.get("code", ""))
        if asked is None or asked.used:
            return respond(400, b'{"error": "invalid_grant"}')
        asked.used = True
        challenge = base64.urlsafe_b64encode(hashlib.sha256(request.form["code_verifier"].encode()).digest())
        if challenge.rstrip(b"=").decode() != asked.query["code_challenge"]:
            return respond(400, b'{"error": "invalid_grant"}')
        if request.form["redirect_uri"] != asked.query["redirect_uri"]:
            return respond(400, b'{"error": "invalid_grant"}')
        shown = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {shown}":
            return respond(401, b'{"error": "invalid_client"}')
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": asked.query["nonce"],
            **self.person, **self.behaviour.claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return self._json(
            {"access_token": "an access token", "token_type": "Bearer", "id_token": self._id_token(claims)}
        )

    def _id_token(self, claims: dict[str, Any]) -> str:
        alg = self.behaviour.alg
        if alg == "none":
            return jwt.encode(claims, None, "none")
        if alg == "HS256":
            # The client's secret as key: an old way, and a door where anybody knows that secret.
            return jwt.encode(claims, self.client_secret * 2, "HS256", headers={"kid": self.kid})
        if self.behaviour.stranger:
            return jwt.encode(
                claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": self.kid}
            )
        return self.sign(claims)

    def _public(self, kid: str) -> dict[str, Any]:
        key, alg = self._keys[kid]
        whole = jwt.get_algorithm_by_name(alg).to_jwk(key.public_key(), as_dict=True)
        return {**whole, "kid": kid, "use": "sig", "alg": alg}

    def _json(self, value: Mapping[str, Any]) -> bytes:
        return respond(200, json.dumps(value).encode())
