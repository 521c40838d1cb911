"""`/people`, `/api/people` and `/api/keys`: for admins alone, and what they make is shown once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import get_args

import httpx
import pytest

from schemas.access import STAFF, Role
from tests.integration.browsing import open_browser, signed_in
from tests.integration.web_edge import KEY, RunningWeb, run_web

NEW = "three quiet rivers"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


def shown(page: httpx.Response) -> str:
    """What a page shows once."""
    found = re.search(r"<pre[^>]*><code>([^<]+)</code></pre>", page.text)
    assert found, page.text
    return found[1]


async def test_an_admin_adds_somebody_who_then_signs_in_by_the_link(web: RunningWeb) -> None:
    async with signed_in(web) as admin, open_browser(web) as grace:
        made = await admin.send("/people", email="grace@example.com", name="Grace <b>H</b>", role="csm")
        assert made.status_code == 200
        assert "<b>H" not in made.text
        path = "/welcome/" + shown(made).rpartition("/")[2]
        assert path.rpartition("/")[2] not in (await admin.get("/people")).text
        assert (await grace.post(path, name="Grace", password=NEW, again=NEW)).status_code == 303
        assert (await grace.get("/runs")).status_code == 200
        refused = await grace.get("/people")
        assert refused.status_code == 403
        assert "admin" in refused.text


async def test_what_was_written_stays_when_it_is_refused_and_the_reason_is_told(web: RunningWeb) -> None:
    async with signed_in(web) as admin:
        for fields, reason in (
            ({"email": "nonsense", "name": "Grace", "role": "csm"}, "no mail address"),
            ({"email": "grace@example.com", "name": "", "role": "csm"}, "1 to 200"),
            ({"email": "grace@example.com", "name": "Grace", "role": "root"}, "no role"),
        ):
            page = await admin.send("/people", **fields)
            assert page.status_code == 400
            assert reason in page.text
            assert f'value="{fields["email"]}"' in page.text
        assert await web.count("people") == 1


async def test_roles_links_and_closing_by_the_page(web: RunningWeb) -> None:
    async with signed_in(web) as admin, signed_in(web, "csm", "grace@example.com") as grace:
        [row] = await web.rows("SELECT id::text AS id FROM people WHERE role = 'csm'")
        url = f"/people/{row['id']}"
        assert (await grace.get("/people")).status_code == 403
        assert "ops+now" in (await admin.send(f"{url}/role", role="ops")).headers["location"]
        assert (await web.rows("SELECT role FROM people WHERE email LIKE 'grace%'"))[0]["role"] == "ops"
        assert "/welcome/" in shown(await admin.send(f"{url}/link"))
        await admin.send(f"{url}/deactivate")
        assert not await grace.is_in()
        assert (await admin.send(f"{url}/link")).status_code == 409
        [me] = await web.rows("SELECT id::text AS id FROM people WHERE role = 'admin'")
        told = (await admin.send(f"/people/{me['id']}/deactivate")).headers["location"]
        assert "Nobody+else+is+admin" in told
        assert await admin.is_in()
        assert (await admin.send("/people/nobody/role", role="csm")).status_code == 404
        # Whoever isn't admin changes nothing, even with a token of theirs.
        for verb in ("role", "link", "deactivate"):
            async with signed_in(web, "ops") as ops:
                assert (await ops.send(f"{url}/{verb}", role="admin")).status_code == 403


async def test_keys_are_made_and_removed_by_the_page(web: RunningWeb) -> None:
    async with signed_in(web) as admin:
        made = await admin.send("/people/keys", name="mobile-app", role="service", per_minute="60", days="")
        key = shown(made)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=web.address, headers=headers, trust_env=False) as program:
            assert (await program.get("/api/runs")).status_code == 200
            assert (await program.get("/api/keys")).status_code == 403
            page = (await admin.get("/people")).text
            assert "mobile-app" in page
            assert key not in page
            for fields in (
                {"name": "two words", "role": "service"}, {"name": "x", "role": "customer"},
                {"name": "x", "role": "service", "days": "0"}, {"name": "x", "role": "service", "per_minute": "many"},
                {"name": "mobile-app", "role": "service"},
            ):  # fmt: skip
                assert (await admin.send("/people/keys", **fields)).status_code == 400, fields
            assert "removed" in (await admin.send("/people/keys/mobile-app/remove")).headers["location"]
            assert (await program.get("/api/runs")).status_code == 401


async def test_the_api_does_the_same(web: RunningWeb) -> None:
    added = await web.client.post(
        "/api/people", json={"email": "grace@example.com", "name": "Grace", "role": "ops"}
    )
    assert added.status_code == 201
    person = added.json()["person"]
    assert (person["role"], person["signsInBy"], person["active"]) == ("ops", "never", True)
    assert added.json()["signInLink"].rpartition("/")[0].endswith("/welcome")
    url = f"/api/people/{person['id']}"
    assert (await web.client.post(f"{url}/role", json={"role": "csm"})).json()["person"]["role"] == "csm"
    async with open_browser(web) as grace:
        path = added.json()["signInLink"].removeprefix("http://127.0.0.1:8080")
        assert (await grace.post(path, name="Grace", password=NEW, again=NEW)).status_code == 303
        assert (await web.client.post(f"{url}/sign-out")).json()["person"]["active"] is True
        assert not await grace.is_in()
    assert (await web.client.post(f"{url}/link")).json()["signInLink"] != added.json()["signInLink"]
    assert (await web.client.post(f"{url}/deactivate")).json()["person"]["active"] is False
    assert (await web.client.post(f"{url}/link")).status_code == 409
    assert (await web.client.post(f"{url}/reactivate")).json()["person"]["active"] is True
    assert [one["email"] for one in (await web.client.get("/api/people")).json()["people"]] == [
        "grace@example.com"
    ]
    assert "password" not in (await web.client.get("/api/people")).json()["people"][0]
    for path, body, status in (
        ("/api/people", {"email": "grace@example.com", "name": "G", "role": "csm"}, 409),
        ("/api/people", {"email": "x", "name": "G", "role": "csm"}, 422),
        ("/api/people", {"email": "g@example.com", "name": "G", "role": "service"}, 422),
        ("/api/people/none/role", {"role": "csm"}, 404),
        ("/api/keys", {"name": "a/b"}, 422),
    ):
        assert (await web.client.post(path, json=body)).status_code == status, (path, body)
    made = await web.client.post("/api/keys", json={"name": "app", "role": "csm", "expiresInDays": 9})
    assert made.status_code == 201
    [key] = (await web.client.get("/api/keys")).json()["keys"]
    assert (key["name"], key["role"], key["createdBy"]) == ("app", "csm", "api")
    assert made.json()["key"] not in (await web.client.get("/api/keys")).text
    assert (await web.client.delete("/api/keys/app")).status_code == 200
    assert (await web.client.delete("/api/keys/app")).status_code == 404


async def test_of_all_keys_only_an_admins_may_manage(web: RunningWeb) -> None:
    assert set(STAFF) < set(get_args(Role))
    for role in ("service", "csm", "ops"):
        made = await web.client.post("/api/keys", json={"name": role, "role": role})
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        for method, path in (
            ("GET", "/api/people"), ("POST", "/api/people"), ("GET", "/api/keys"), ("POST", "/api/keys"),
            ("DELETE", "/api/keys/service"), ("POST", "/api/people/x/role"), ("GET", "/people"), ("POST", "/people"),
        ):  # fmt: skip
            answer = await web.client.request(method, path, headers=headers)
            assert answer.status_code == 403, (role, method, path)
    assert (await web.client.get("/people", headers={"Authorization": f"Bearer {KEY}"})).status_code == 200


async def test_each_button_says_whom_it_is_about_to_whoever_only_hears_it(web: RunningWeb) -> None:
    async with signed_in(web) as admin:
        await admin.send("/people", email="grace@example.com", name="Grace", role="csm")
        for name in ("mobile-app", "dashboards"):
            await admin.send("/people/keys", name=name, role="service")
        page = (await admin.get("/people")).text
    rows = "".join(re.findall(r"<tbody>.*?</tbody>", page, re.DOTALL))
    names = re.findall(r'<button[^>]*aria-label="([^"]+)"', rows)
    assert len(names) == len(set(names)) == rows.count("<button")
    assert {"Close account of Grace", "Remove the key mobile-app"} <= set(names)
