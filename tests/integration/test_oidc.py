"""Signing in at an identity provider: whose account that is, and every answer that lets nobody in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from schemas.errors import SettingError
from schemas.settings import Settings
from tests.integration.browsing import Browser, hire, open_browser
from tests.integration.web_edge import RunningWeb, run_web
from tests.standins.oidc import Behaviour, OidcStandIn
from web.oidc import OidcProvider

CALLBACK = "/sign-in/oidc/callback"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
async def provider() -> AsyncIterator[OidcStandIn]:
    async with OidcStandIn() as running:
        yield running


def settings(provider: OidcStandIn, **more: str) -> dict[str, str]:
    return {
        "HOLDFAST_OIDC_ISSUER": provider.url,
        "HOLDFAST_OIDC_CLIENT_ID": provider.client_id,
        "HOLDFAST_OIDC_CLIENT_SECRET": provider.client_secret,
        "HOLDFAST_OIDC_DEFAULT_ROLE": "csm",
    } | more


@contextlib.asynccontextmanager
async def house(
    database_url: str, provider: OidcStandIn, **more: str
) -> AsyncIterator[tuple[RunningWeb, Browser]]:
    async with run_web(database_url, **settings(provider, **more)) as web, open_browser(web) as browser:
        yield web, browser


async def leave(browser: Browser, onward: str = "/runs") -> str:
    """Where the sign-in page's link leads."""
    page = await browser.get(f"/sign-in?next={onward}")
    # Whoever is signed in already is sent on at once.
    assert page.status_code == 303 or f"/sign-in/oidc?next={onward.replace('/', '%2F')}" in page.text
    led = await browser.get(f"/sign-in/oidc?next={onward}")
    assert led.status_code == 303
    return led.headers["location"]


async def come_back(browser: Browser, back: str) -> httpx.Response:
    """The browser follows the provider's redirect; its path alone, as it is served at another port here."""
    return await browser.get(back[back.index(CALLBACK) :])


async def sign_in(browser: Browser, provider: OidcStandIn) -> httpx.Response:
    return await come_back(browser, provider.consent(await leave(browser)))


async def test_the_first_sign_in_makes_an_account_and_the_next_finds_it(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (web, browser):
        answer = await sign_in(browser, provider)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        assert "Ada Lovelace" in (await browser.get("/me")).text
        [person] = await web.rows("SELECT email, role, oidc_issuer, oidc_subject, password_hash FROM people")
        assert person == {
            "email": "ada@example.com", "role": "csm", "oidc_issuer": provider.url,
            "oidc_subject": "248289761001", "password_hash": None,
        }  # fmt: skip
        provider.person["email"] = "ada.new@example.com"
        async with open_browser(web) as another:
            assert (await sign_in(another, provider)).status_code == 303
        assert await web.count("people") == 1
        actions = [row["action"] for row in await web.rows("SELECT action FROM audit_log ORDER BY id")]
        assert actions == ["person.added", "person.identity_linked"]


async def test_an_account_of_the_same_verified_address_is_linked(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (web, browser):
        await hire(web, "ADA@example.com", "admin")
        assert (await sign_in(browser, provider)).status_code == 303
        [person] = await web.rows("SELECT role, oidc_subject FROM people")
        assert person == {"role": "admin", "oidc_subject": "248289761001"}
        # Another subject with that address is somebody else.
        provider.person["sub"] = "another"
        async with open_browser(web) as another:
            refused = await sign_in(another, provider)
            assert refused.status_code == 403
            assert not await another.is_in()


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_an_address_that_isnt_verified_opens_no_account(
    database_url: str, provider: OidcStandIn, verified: Any
) -> None:
    async with house(database_url, provider) as (web, browser):
        await hire(web)
        provider.behaviour = Behaviour(claims={"email_verified": verified})
        refused = await sign_in(browser, provider)
        assert refused.status_code == 403
        assert "vouch" in refused.text
        [person] = await web.rows("SELECT oidc_subject FROM people")
        assert person["oidc_subject"] is None
        assert await web.count("sessions") == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(claims={"nonce": "another"}),
        Behaviour(claims={"nonce": None}),
        Behaviour(claims={"aud": "another-client"}),
        Behaviour(claims={"aud": None}),
        Behaviour(claims={"aud": ["holdfast-client", "another"], "azp": "another"}),
        Behaviour(claims={"aud": ["holdfast-client", "another"]}),
        Behaviour(claims={"iss": "https://evil.example"}),
        Behaviour(claims={"exp": 1_700_000_000}),
        Behaviour(claims={"exp": None}),
        Behaviour(claims={"iat": None}),
        Behaviour(claims={"nbf": 4_000_000_000}),
        Behaviour(claims={"sub": None}),
        Behaviour(claims={"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        Behaviour(alg="none"),
        Behaviour(alg="HS256"),
        Behaviour(stranger=True),
    ],
    ids=lambda behaviour: f"{behaviour.alg} {behaviour.claims}"[:40],
)
async def test_an_id_token_that_isnt_good_lets_nobody_in(
    database_url: str, provider: OidcStandIn, behaviour: Behaviour
) -> None:
    provider.behaviour = behaviour
    async with house(database_url, provider) as (web, browser):
        refused = await sign_in(browser, provider)
        assert refused.status_code == 403
        assert "Sign in with" in refused.text
        assert browser.token is None
        assert await web.count("people") == 0


async def test_an_answer_belongs_to_the_browser_that_asked(database_url: str, provider: OidcStandIn) -> None:
    async with house(database_url, provider) as (web, browser), open_browser(web) as victim:
        back = provider.consent(await leave(browser))
        # Somebody else's answer, put under a victim's browser: with none of its own, and with another.
        assert (await come_back(victim, back)).status_code == 403
        await leave(victim)
        assert (await come_back(victim, back)).status_code == 403
        assert victim.token is None
        assert (await come_back(browser, back)).status_code == 303
        # Once: the cookie is gone, and the code is used.
        assert (await come_back(browser, back)).status_code == 403


async def test_what_the_provider_refuses_is_told_and_escaped(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (_, browser):
        state = provider.consent(await leave(browser)).partition("state=")[2]
        refused = await browser.get(f"{CALLBACK}?error=%3Cb%3Eaccess_denied&state={state}")
        assert refused.status_code == 403
        assert "&lt;b&gt;access_denied" in refused.text
        await leave(browser)
        assert (await browser.get(CALLBACK)).status_code == 403
        mixed = provider.consent(await leave(browser)) + "&iss=https://evil.example"
        assert (await come_back(browser, mixed)).status_code == 403


async def test_a_flow_that_took_too_long_is_begun_anew(
    database_url: str, provider: OidcStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, provider) as (_, browser):
        back = provider.consent(await leave(browser))
        monkeypatch.setattr("web.oidc.FLOW_SECONDS", -1)
        assert (await come_back(browser, back)).status_code == 403


async def test_roles_follow_the_groups_at_every_sign_in(database_url: str, provider: OidcStandIn) -> None:
    more = {
        "HOLDFAST_OIDC_ROLE_CLAIM": "realm.groups",
        "HOLDFAST_OIDC_ROLES": "cs-team=csm,cs=leads=ops,it=admin",
    }
    async with house(database_url, provider, HOLDFAST_OIDC_DEFAULT_ROLE="", **more) as (web, browser):
        for groups, role in (
            (["cs-team", "else"], "csm"), (["cs-team", "it"], "admin"), (["cs=leads"], "ops"), (["else"], None),
            ("cs-team", "csm"), ({"it": True}, None),
        ):  # fmt: skip
            provider.behaviour = Behaviour(claims={"realm": {"groups": groups}})
            answer = await sign_in(browser, provider)
            assert answer.status_code == (403 if role is None else 303), groups
            if role is not None:
                [person] = await web.rows("SELECT role FROM people")
                assert person["role"] == role


async def test_a_closed_account_stays_closed(database_url: str, provider: OidcStandIn) -> None:
    async with house(database_url, provider) as (web, browser):
        await sign_in(browser, provider)
        await web.change("UPDATE people SET active = false")
        async with open_browser(web) as another:
            refused = await sign_in(another, provider)
            assert refused.status_code == 403
            assert "closed" in refused.text


async def test_only_the_mail_domains_that_are_named_come_in(database_url: str, provider: OidcStandIn) -> None:
    async with house(database_url, provider, HOLDFAST_OIDC_DOMAINS="corp.example, Example.com") as (
        web,
        browser,
    ):
        for email, status in (
            ("eve@evil.example", 403),
            ("eve@notexample.com", 403),
            ("ada@EXAMPLE.com", 303),
        ):
            provider.person["email"] = email
            assert (await sign_in(browser, provider)).status_code == status, email
        assert await web.count("people") == 1


async def test_an_address_may_come_from_userinfo_of_the_same_subject_alone(
    database_url: str, provider: OidcStandIn
) -> None:
    short: dict[str, Any] = {"email": None, "email_verified": None, "name": None}
    told = {"email": "ada@example.com", "email_verified": True, "name": "Ada"}
    async with house(database_url, provider) as (web, browser):
        provider.behaviour = Behaviour(claims=short, userinfo={"sub": "another", **told})
        assert (await sign_in(browser, provider)).status_code == 403
        provider.behaviour = Behaviour(claims=short, userinfo={"sub": provider.person["sub"], **told})
        assert (await sign_in(browser, provider)).status_code == 303
        assert await web.count("people") == 1


async def test_a_provider_that_calls_itself_otherwise_or_is_away_lets_nobody_in(
    database_url: str, provider: OidcStandIn
) -> None:
    for metadata in ({"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}):
        provider.behaviour = Behaviour(metadata=metadata)
        async with house(database_url, provider) as (_, browser):
            assert (await browser.get("/sign-in/oidc")).status_code == 503
    async with (
        run_web(
            database_url,
            HOLDFAST_OIDC_ISSUER="http://127.0.0.1:9",
            HOLDFAST_OIDC_CLIENT_ID="c",
            HOLDFAST_OIDC_DEFAULT_ROLE="csm",
        ) as web,
        open_browser(web) as browser,
    ):
        assert (await browser.get("/sign-in/oidc")).status_code == 503
        policy = (await browser.get("/sign-in")).headers["content-security-policy"]
        assert "form-action 'self' http://127.0.0.1:9;" in policy


async def test_without_a_provider_there_is_no_way_to_one(database_url: str) -> None:
    async with run_web(database_url) as web, open_browser(web) as browser:
        assert "/sign-in/oidc" not in (await browser.get("/sign-in")).text
        assert (await browser.get("/sign-in/oidc")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"HOLDFAST_OIDC_ISSUER": "http://id.example.com"}, "ISSUER"),
        ({"HOLDFAST_OIDC_CLIENT_ID": ""}, "CLIENT_ID"),
        ({"HOLDFAST_OIDC_DEFAULT_ROLE": ""}, "ISSUER"),
        ({"HOLDFAST_OIDC_DEFAULT_ROLE": "service"}, "DEFAULT_ROLE"),
        ({"HOLDFAST_OIDC_ROLES": "everybody=root"}, "ROLES"),
    ],
)
def test_settings_are_checked(changes: dict[str, str], named: str) -> None:
    environ = {
        "HOLDFAST_OIDC_ISSUER": "https://id.example.com", "HOLDFAST_OIDC_CLIENT_ID": "c",
        "HOLDFAST_OIDC_DEFAULT_ROLE": "csm",
    }  # fmt: skip
    with pytest.raises(SettingError, match=named):
        OidcProvider.read_settings(Settings.read(environ | changes), "s" * 32)
