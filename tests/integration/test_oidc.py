"""Signing in at an identity provider: whose account that is, and every answer that lets nobody in."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from schemas.errors import SettingError
from schemas.settings import Settings
from store.people import read_name
from tests.integration.browsing import Browser, hire, open_browser
from tests.integration.web_edge import RunningWeb, run_web
from tests.standins.oidc import Behaviour, OidcStandIn
from web.oidc import OidcProvider
from web.oidc_identity import ClaimRules

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
        assert actions == ["person.added", "person.identity_linked", "session.started", "session.started"]


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


async def test_while_the_provider_is_away_the_sign_in_page_says_so_and_it_isnt_asked_at_every_click(
    database_url: str, provider: OidcStandIn
) -> None:
    provider.behaviour = Behaviour(metadata={"issuer": "https://evil.example"})
    async with house(database_url, provider, HOLDFAST_OIDC_NAME="Example ID") as (web, browser):
        await hire(web)
        for _ in range(3):
            away = await browser.get("/sign-in/oidc?next=/runs")
            assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
            assert "Example ID can&#39;t be reached" in away.text
            # Another way in is there.
            assert 'type="password"' in away.text
        assert provider.asked.count("/.well-known/openid-configuration") == 1


async def test_whoever_signs_out_here_is_shown_how_to_do_so_there(
    database_url: str, provider: OidcStandIn
) -> None:
    way_out = f"{provider.url}/logout?kc=1"
    provider.behaviour = Behaviour(metadata={"end_session_endpoint": way_out})
    async with house(database_url, provider, HOLDFAST_PUBLIC_URL="http://127.0.0.1:1") as (web, browser):
        await sign_in(browser, provider)
        left = await browser.send("/sign-out")
        page = await browser.get(left.headers["location"])
        [link] = re.findall(r'href="([^"]+/logout[^"]+)"', page.text)
        parts = urlsplit(html.unescape(link))
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{provider.url}/logout"
        assert dict(parse_qsl(parts.query)) == {
            "kc": "1", "client_id": provider.client_id, "post_logout_redirect_uri": "http://127.0.0.1:1/sign-in",
        }  # fmt: skip
        # Whoever came by a password isn't signed in there.
        await hire(web, "bob@example.com")
        await browser.sign_in("bob@example.com")
        assert (await browser.send("/sign-out")).headers["location"] == "/sign-in"


@pytest.mark.parametrize("way_out", [None, 7, "http://evil.example/logout", "javascript:x()"])
async def test_a_provider_without_a_way_out_offers_none(provider: OidcStandIn, way_out: Any) -> None:
    provider.behaviour = Behaviour(metadata={"end_session_endpoint": way_out})
    reading = OidcProvider.read_settings(Settings.read(settings(provider)), "s" * 32)
    assert reading is not None
    assert (await reading.begin("/"))[0].startswith(provider.url)
    assert await reading.find_way_out() is None


async def test_clocks_may_differ_by_a_minute(database_url: str, provider: OidcStandIn) -> None:
    async with house(database_url, provider) as (_, browser):
        for ahead, status in ((40, 303), (-40, 303), (120, 403), (-120, 403)):
            now = int(time.time()) + ahead
            provider.behaviour = Behaviour(claims={"iat": now, "nbf": now, "exp": now + 1})
            assert (await sign_in(browser, provider)).status_code == status, ahead
        provider.behaviour = Behaviour()
        # The process where it began may be ahead of the one where it ends.
        for ahead, status in ((30, 303), (90, 403)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("web.oidc.time.time", lambda ahead=ahead, real=time.time: real() + ahead)
                url = await leave(browser)
            assert (await come_back(browser, provider.consent(url))).status_code == status, ahead


async def test_a_provider_that_names_itself_in_answers_has_to(
    database_url: str, provider: OidcStandIn
) -> None:
    provider.behaviour = Behaviour(metadata={"authorization_response_iss_parameter_supported": True})
    async with house(database_url, provider) as (_, browser):
        assert (await sign_in(browser, provider)).status_code == 403
        named = provider.consent(await leave(browser)) + f"&iss={provider.url}"
        assert (await come_back(browser, named)).status_code == 303


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        ("Ada\nL.", "Ada L."),
        ("\u202eAda\u200b", "Ada"),
        ("\u200b", "ada"),
        ("x" * 300, "x" * 200),
        (7, "ada"),
    ],
)
def test_whatever_the_provider_calls_somebody_they_get_a_name_that_can_be_kept(
    claimed: Any, kept: str
) -> None:
    rules = ClaimRules.read_settings({"HOLDFAST_OIDC_DEFAULT_ROLE": "csm"})
    claims = {"sub": "1", "email": "ada@example.com", "email_verified": True, "name": claimed}
    name = rules.identify("https://id.example", claims).name
    assert (name, read_name(name)) == (kept, kept)


async def test_whoever_comes_by_another_provider_now_keeps_the_account(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (web, browser):
        await sign_in(browser, provider)
        await web.change("UPDATE people SET oidc_issuer = 'https://old.example', oidc_subject = 'before'")
        assert (await sign_in(browser, provider)).status_code == 303
        assert await web.count("people") == 1


async def test_of_two_with_one_address_at_once_one_gets_the_account(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (web, browser), open_browser(web) as another:
        await hire(web)
        backs = [(one, provider.consent(await leave(one))) for one in (browser, another)]
        subjects = iter(("first", "second"))

        def token(given: Any) -> bytes:
            provider.person["sub"] = next(subjects)
            return OidcStandIn._token(provider, given)

        provider._token = token  # type: ignore[method-assign]
        answers = await asyncio.gather(*(come_back(one, back) for one, back in backs))
        assert sorted(answer.status_code for answer in answers) == [303, 403]
        assert await web.count("people") == 1
        assert await web.count("sessions") == 1


async def test_an_address_that_fails_or_sets_out_again_and_again_has_to_wait(
    database_url: str, provider: OidcStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.page_oidc.STARTS_PER_MINUTE", 4)
    async with house(database_url, provider) as (web, browser):
        for _ in range(21):
            assert (await browser.get(f"{CALLBACK}?state=none&code=none")).status_code == 403
        for path in (f"{CALLBACK}?state=none&code=none", "/sign-in/oidc"):
            waits = await browser.get(path)
            assert waits.status_code == 429
            assert 0 < int(waits.headers["Retry-After"]) <= 30
            assert "Too many" in waits.text
        rows = await web.rows(
            "SELECT object_kind, object_id, after FROM audit_log WHERE action = 'session.refused'"
        )
        assert [(row["object_kind"], row["object_id"], row["after"]["failures"]) for row in rows] == [
            ("sign_in", "identity_provider", 1), ("sign_in", "identity_provider", 21),
        ]  # fmt: skip
        await web.change("DELETE FROM sign_in_failures")
        assert [(await browser.get("/sign-in/oidc")).status_code for _ in range(5)] == [303] * 4 + [429]


async def test_the_audit_says_who_came_by_the_provider_and_who_was_refused(
    database_url: str, provider: OidcStandIn
) -> None:
    async with house(database_url, provider) as (web, browser), open_browser(web) as another:
        await sign_in(browser, provider)
        await web.change("UPDATE people SET active = false")
        await sign_in(another, provider)
        [person] = await web.rows("SELECT id::text AS id FROM people")
        rows = await web.rows(
            "SELECT action, object_id, after FROM audit_log WHERE action LIKE 'session.%' ORDER BY id"
        )
        assert [(row["action"], row["object_id"], row["after"]["way"]) for row in rows] == [
            ("session.started", person["id"], "identity_provider"),
            ("session.refused", person["id"], "identity_provider"),
        ]  # fmt: skip
        # A good answer takes its attempt back.
        failures = await web.rows("SELECT failures FROM sign_in_failures")
        assert [row["failures"] for row in failures] == [1]


async def test_the_flows_cookie_is_this_hosts_alone(database_url: str, provider: OidcStandIn) -> None:
    async with house(database_url, provider, HOLDFAST_PUBLIC_URL="https://holdfast.example.com") as (
        _,
        browser,
    ):
        cookie = (await browser.get("/sign-in/oidc?next=/runs")).headers["set-cookie"]
        assert cookie.startswith("__Host-holdfast_oidc=")
        assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/;"))
        # A path that no cookie could hold isn't taken along.
        long = await browser.get(f"/sign-in/oidc?next=/{'x' * 5000}")
        assert len(long.headers["set-cookie"]) < 500


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
