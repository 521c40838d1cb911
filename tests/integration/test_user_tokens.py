"""Signed tokens of the product's users and services: what is taken, and every way in which one isn't good."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schemas.errors import SettingError
from schemas.settings import Settings
from tests.integration.web_edge import RunningWeb, furnish, run_web
from tests.standins.oidc import OidcStandIn
from web.user_tokens import UserTokens

SHARED = "a-secret-of-at-least-64-characters-so-that-every-hmac-is-content!"
ISSUER = "https://id.example.com"


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of the customer ada/1, changed; None leaves one out."""
    now = int(time.time())
    whole = {"sub": "ada/1", "role": "customer", "aud": "holdfast", "iat": now, "exp": now + 600} | changes
    at = {
        name: now + value.seconds + value.days * 86400
        for name, value in whole.items()
        if isinstance(value, timedelta)
    }
    return {name: value for name, value in (whole | at).items() if value is not None}


def sign(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SHARED, "HS256")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_TOKEN_SECRET=SHARED) as running:
        yield running


async def ask(web: RunningWeb, token: str, path: str = "/api/runs") -> tuple[int, str]:
    answer = await web.client.get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code", "")


async def test_a_token_carries_its_role(web: RunningWeb) -> None:
    await furnish(web)
    assert await ask(web, sign(role="service")) == (200, "")
    assert await ask(web, sign(role="csm", sub="grace")) == (200, "")
    assert await ask(web, sign(role="admin"), "/api/people") == (200, "")
    assert await ask(web, sign(role="csm"), "/api/people") == (403, "HF161")


async def test_a_customers_token_opens_their_own_records_and_nobody_elses(web: RunningWeb) -> None:
    await furnish(web)
    own, other = sign(), sign(sub="somebody-else")
    assert (await ask(web, own, "/api/customers/ada%2F1/messages"))[0] == 200
    assert await ask(web, other, "/api/customers/ada%2F1/messages") == (403, "HF161")
    # Without a role it is a customer's.
    assert await ask(web, sign(role=None), "/api/runs?customer=somebody") == (403, "HF161")
    assert await ask(web, own, "/api/people") == (403, "HF161")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": timedelta(hours=25)},
        {"exp": "soon"},
        {"exp": "4102444800"},
        {"exp": 1e400},
        {"nbf": timedelta(minutes=10)},
        {"iat": timedelta(minutes=10)},
        {"aud": None},
        {"aud": "another"},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\x00"},
        {"sub": "x" * 201},
        {"sub": "\ud800"},
        {"exp": 10**400},
        {"sub": 7},
        {"role": "root"},
        {"role": ["admin"]},
    ],
)
async def test_a_token_that_isnt_good_opens_nothing(web: RunningWeb, changes: dict[str, Any]) -> None:
    token = jwt.api_jws.encode(_write(claims(**changes)), SHARED, "HS256", headers={"typ": "JWT"})
    assert await ask(web, token) == (401, "HF157")


async def test_whatever_a_token_calls_its_bearer_can_be_written_down(web: RunningWeb) -> None:
    ids = await furnish(web)
    for called, kept in (
        ("Ada\x00\ud800 \u202eB\n", "Ada B"),
        ("\x00", "boss"),
        (["Ada"], "boss"),
        ("x" * 999, "x" * 200),
    ):
        said = claims(sub="boss", role="csm", name=called)
        token = jwt.api_jws.encode(_write(said), SHARED, "HS256", headers={"typ": "JWT"})
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/api/tasks/{ids['task']}/reassign"
        answer = await web.client.post(path, headers=headers, json={"to": f"to {len(str(called))}"})
        assert answer.status_code == 200, answer.text
        [row] = await web.rows("SELECT actor_id, actor_name FROM audit_log ORDER BY id DESC LIMIT 1")
        assert (row["actor_id"], row["actor_name"]) == ("boss", kept)


def _write(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


async def test_a_signature_must_be_by_our_secret_and_our_method(web: RunningWeb) -> None:
    key = rsa.generate_private_key(65537, 2048)
    for token in (
        jwt.encode(claims(), "b" * 40, "HS256"),
        jwt.encode(claims(), SHARED, "HS384"),
        jwt.encode(claims(), SHARED, "HS512"),
        jwt.encode(claims(), None, "none"),
        jwt.encode(claims(), key, "RS256"),
        sign()[:-2] + "AA",
        "a.b.c",
        "..",
        "eyJhbGciOiJIUzI1NiJ9..",
        # Twice as long as any that is read.
        jwt.encode(claims(more="x" * 16384), SHARED, "HS256"),
    ):
        status, code = await ask(web, token)
        assert (status, code) == (401, "HF157"), token[:40]


async def test_keys_that_an_issuer_publishes_are_found_by_their_name(database_url: str) -> None:
    async with OidcStandIn() as issuer:
        environ = {"HOLDFAST_TOKEN_JWKS_URL": f"{issuer.url}/jwks", "HOLDFAST_TOKEN_ISSUER": ISSUER}
        async with run_web(database_url, **environ) as web:
            good = issuer.sign(claims(role="service", iss=ISSUER))
            assert await ask(web, good) == (200, "")
            assert await ask(web, good) == (200, "")
            assert issuer.asked.count("/jwks") == 1
            curve = ec.generate_private_key(ec.SECP256R1())
            issuer.publish("es", curve, "ES256")
            # A name that isn't known makes us look again, not at every guess.
            token = issuer.sign(claims(role="service", iss=ISSUER), kid="es")
            assert await ask(web, token) == (401, "HF157")
            assert issuer.asked.count("/jwks") == 1
            assert await ask(web, issuer.sign(claims(role="service", iss="https://other.example"))) == (
                401,
                "HF157",
            )
            assert await ask(web, issuer.sign(claims(role="service"))) == (401, "HF157")
            # The public key used as if it were a shared secret.
            confused = jwt.api_jws.encode(
                _write(claims(iss=ISSUER)), b"x" * 40, "HS256", headers={"kid": issuer.kid}
            )
            assert await ask(web, confused) == (401, "HF157")


async def test_a_new_key_of_the_issuers_is_read_after_a_while(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.published_keys.PublishedKeys.RETRY_SECONDS", 0.0)
    async with OidcStandIn() as issuer:
        environ = {"HOLDFAST_TOKEN_JWKS_URL": f"{issuer.url}/jwks", "HOLDFAST_TOKEN_ISSUER": ISSUER}
        async with run_web(database_url, **environ) as web:
            assert await ask(web, issuer.sign(claims(role="service", iss=ISSUER))) == (200, "")
            issuer.publish("es", ec.generate_private_key(ec.SECP256R1()), "ES256")
            assert await ask(web, issuer.sign(claims(role="service", iss=ISSUER), kid="es")) == (200, "")
            # Of a curve that isn't let in, though published.
            issuer.publish("es384", ec.generate_private_key(ec.SECP384R1()), "ES384")
            token = issuer.sign(claims(role="service", iss=ISSUER), kid="es384")
            assert await ask(web, token) == (401, "HF157")


async def test_while_the_issuer_is_away_its_tokens_wait(database_url: str) -> None:
    environ = {"HOLDFAST_TOKEN_JWKS_URL": "http://127.0.0.1:9/jwks", "HOLDFAST_TOKEN_ISSUER": ISSUER}
    async with run_web(database_url, **environ) as web:
        key = rsa.generate_private_key(65537, 2048)
        assert await ask(web, jwt.encode(claims(iss=ISSUER), key, "RS256", headers={"kid": "k"})) == (
            503,
            "HF400",
        )


@pytest.mark.parametrize("role", ["customer", "service"])
async def test_the_tracking_api_says_that_it_takes_api_keys_and_no_tokens(web: RunningWeb, role: str) -> None:
    event = {"userId": "ada/1", "event": "login"}
    token = sign(role=role)
    bearer = await web.client.post("/v1/track", json=event, headers={"Authorization": f"Bearer {token}"})
    del web.client.headers["Authorization"]
    in_body = await web.client.post(
        "/v1/batch", json={"writeKey": token, "batch": [{"type": "track", **event}]}
    )
    basic = await web.client.post("/v1/track", json=event, auth=(token, ""))
    for answer in (bearer, in_body, basic):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (401, "HF150")
        assert problem["detail"] == "This is a signed token (JWT), and it takes an API key here."
        assert "/v1" in problem["remedy"]
        assert "holdfast keys add" in problem["remedy"]
        assert "HOLDFAST_API_KEY" not in problem["remedy"]
    assert await web.count("events") == 0


async def test_without_the_setting_no_token_is_let_in(database_url: str) -> None:
    async with run_web(database_url) as web:
        assert await ask(web, sign()) == (401, "HF150")


@pytest.mark.parametrize(
    "environ",
    [
        {"HOLDFAST_TOKEN_SECRET": "too short"},
        {"HOLDFAST_TOKEN_JWKS_URL": "https://id.example.com/jwks"},
        {"HOLDFAST_TOKEN_JWKS_URL": "http://id.example.com/jwks", "HOLDFAST_TOKEN_ISSUER": ISSUER},
        {"HOLDFAST_TOKEN_JWKS_URL": "file:///etc/passwd", "HOLDFAST_TOKEN_ISSUER": ISSUER},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="HOLDFAST_TOKEN"):
        UserTokens.read_settings(Settings.read(environ))
