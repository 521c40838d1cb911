"""How often one may ask, and not being sent again what one has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from schemas.access import Principal
from schemas.errors import SettingError
from schemas.settings import Settings
from store.api_keys import store_key
from tests.integration.test_access_roles import TOKENS, token
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web
from web.body_limits import LARGEST_BYTES, LARGEST_TEXT_BYTES
from web.keys import Key
from web.limits import Limits, MovingWindow


def test_the_window_moves_and_what_is_refused_doesnt_count() -> None:
    window = MovingWindow()
    assert [window.take("a", 3, at).allowed for at in (0.0, 10.0, 20.0, 30.0)] == [True, True, True, False]
    refused = window.take("a", 3, 31.0)
    assert (refused.remaining, refused.reset_seconds) == (0, 29)
    # The first one is a minute old: there is room for one.
    assert [window.take("a", 3, at).allowed for at in (60.0, 61.0)] == [True, False]
    assert window.take("a", 3, 70.0).allowed
    assert window.take("b", 3, 70.0).remaining == 2


def test_many_at_once_count_as_many_and_more_than_the_limit_passes_alone() -> None:
    window = MovingWindow()
    assert window.take("a", 10, 0.0, 8).remaining == 2
    refused = window.take("a", 10, 5.0, 3)
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 2, 55)
    assert window.take("a", 10, 5.0, 2).allowed
    # It could never be sent otherwise.
    assert window.take("b", 10, 5.0, 50).allowed
    assert not window.take("b", 10, 6.0, 1).allowed


def test_whoever_is_gone_is_forgotten() -> None:
    window = MovingWindow()
    for number in range(1000):
        window.take(f"customer {number}", 5, 0.0)
    window.take("one more", 5, 200.0)
    assert len(window._takers) == 1


def test_limits_are_those_of_the_settings_and_of_the_key() -> None:
    base = {"HOLDFAST_DATABASE_URL": "postgresql://x@y/z"}
    limits = Limits.read(Settings.read(base))
    key, person = Principal("key", "app", "app", "service"), Principal("person", "1", "Grace", "csm")
    customer = Principal("token", "c1", "c1", "customer", "c1")
    assert limits.of(key, Key("app", "service")) == 6000
    assert limits.of(key, Key("app", "service", per_minute=7)) == 7
    assert (limits.of(person, None), limits.of(customer, None)) == (600, 120)
    assert limits.of(Principal("open", "pages", "pages", "admin"), None) == 0
    assert limits.events == 0
    less = Limits.read(Settings.read(base | {"HOLDFAST_RATE_PER_MINUTE": "10"}))
    assert less.of(key, Key("app", "service")) == 10
    with pytest.raises(SettingError, match="HOLDFAST_RATE_PER_MINUTE_PEOPLE"):
        Limits.read(Settings.read(base | {"HOLDFAST_RATE_PER_MINUTE_PEOPLE": "many"}))


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    given = {
        "HOLDFAST_TOKEN_SECRET": TOKENS,
        "HOLDFAST_RATE_PER_MINUTE_CUSTOMERS": "2",
        "HOLDFAST_EVENTS_PER_MINUTE": "5",
    }
    async with run_web(database_url, **given) as running:
        async with running.other.transaction() as connection:
            await store_key(connection, "slow", "slow-key-0123456789", now=datetime.now(UTC), per_minute=3)
        yield running


async def test_over_the_limit_is_a_problem_that_says_when_to_come_back(web: RunningWeb) -> None:
    headers = {"Authorization": "Bearer slow-key-0123456789"}
    left = []
    for _ in range(3):
        answer = await web.client.get("/api/providers", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-limit"] == "3"
        left.append(answer.headers["ratelimit-remaining"])
    assert left == ["2", "1", "0"]
    refused = await web.client.get("/api/providers", headers=headers)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-remaining"] == "0"
    assert (refused.json()["code"], refused.json()["success"]) == ("HF170", False)
    # Another key isn't concerned, nor is what isn't the API.
    assert (await web.client.get("/api/providers")).status_code == 200
    assert (await web.client.get("/healthz", headers=headers)).status_code in (200, 503)


async def test_a_refusal_for_want_of_permission_counts_as_well(web: RunningWeb) -> None:
    headers = {"Authorization": f"Bearer {token('ada/1')}"}
    told = [(await web.client.get("/api/runs", headers=headers)).status_code for _ in range(3)]
    assert told == [403, 403, 429]


async def test_events_have_a_limit_of_their_own(web: RunningWeb) -> None:
    async def send(count: int) -> int:
        batch = [
            {"type": "track", "userId": "u", "event": "login", "messageId": str(uuid4())}
            for _ in range(count)
        ]
        answer = await web.client.post("/v1/batch", json={"batch": batch})
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code

    assert [await send(3), await send(2), await send(1)] == [200, 200, 429]
    assert await web.count("events") == 5


@pytest.mark.parametrize(
    ("path", "most"),
    [("/api/tasks/x/take", LARGEST_BYTES), ("/api/playbooks/check", LARGEST_TEXT_BYTES)],
)
async def test_a_body_that_is_too_large_is_refused_and_a_strangers_is_not_even_read(
    web: RunningWeb, path: str, most: int
) -> None:
    async def piece_by_piece(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            yield b" " * 65536
        yield b" " * (size % 65536) + b"[]"

    headers = {"Content-Type": "application/json"}
    for shown, refused in ((f"Bearer {KEY}", (413, "HF145")), ("", (401, "HF150"))):
        for sent in (b" " * most + b"[]", piece_by_piece(most)):
            answer = await web.client.post(path, content=sent, headers={**headers, "Authorization": shown})
            assert (answer.status_code, answer.json()["code"]) == refused
            assert answer.headers["content-type"] == "application/problem+json"
            assert "content-security-policy" in answer.headers
            assert answer.json()["remedy"]
    # One that may just be is read: it is no object.
    fits = await web.client.post(path, content=b" " * (most - 2) + b"[]", headers=headers)
    assert (fits.status_code, fits.json()["code"]) == (422, "HF100")


async def test_a_body_that_cant_be_read_is_what_was_given_and_no_part_that_is_away(web: RunningWeb) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"[" * 100_000, b'{"by": "\xff"}'):
        answer = await web.client.post("/api/tasks/x/take", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "HF100"), body[:10]
        assert answer.json()["remedy"]


async def test_what_is_there_already_isnt_sent_again(web: RunningWeb) -> None:
    ids = await furnish(web)
    path = f"/api/runs/{ids['open']}"
    first = await web.client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in first.headers["vary"]
    for offered in (
        first.headers["etag"],
        f"W/{first.headers['etag']}",
        f'"other", {first.headers["etag"]}',
        "*",
    ):
        again = await web.client.get(path, headers={"If-None-Match": offered})
        assert (again.status_code, again.content) == (304, b""), offered
        assert again.headers["etag"] == first.headers["etag"]
    await web.change("UPDATE runs SET step = 'steps[2]' WHERE id = CAST(:id AS uuid)", id=ids["open"])
    changed = await web.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]
    # Lists have theirs, too; refusals have none.
    assert "etag" in (await web.client.get("/api/tasks")).headers
    assert "etag" not in (await web.client.get("/api/runs/none")).headers
    assert "etag" not in (await web.client.post(f"/api/messages/{ids['note']}/seen")).headers


async def test_what_is_worked_out_anew_and_comes_to_the_same_isnt_sent_again(web: RunningWeb) -> None:
    await furnish(web)
    traits = {"createdAt": "2025-01-01T00:00:00Z", "monthly_price": 49, "subscription_status": "active"}
    await web.client.post("/v1/identify", json={"userId": "ada/1", "messageId": "i2", "traits": traits})
    success = "/api/customer-success"
    paths = [
        "/api/customers/ada%2F1",
        "/api/customers/ada%2F1/consents",
        "/api/customers/ada%2F1/features",
        "/api/customers",
        f"{success}/health-score/ada%2F1?includeBreakdown=true",
        f"{success}/churn-predictions/ada%2F1",
        f"{success}/churn-predictions",
        f"{success}/onboarding/ada%2F1",
        f"{success}/onboarding",
    ]
    for path in paths:
        first = await web.client.get(path)

        again = await web.client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), (path, first.text)
        assert again.headers["etag"] == first.headers["etag"]
    score, prediction = paths[4], paths[5]
    health, churn = (await web.client.get(score)), (await web.client.get(prediction))
    assert health.headers["etag"].startswith('W/"')
    assert churn.json()["prediction"]["calculatedAt"]
    traits = {**traits, "monthly_price": 99, "subscription_status": "past_due"}
    await web.client.post("/v1/identify", json={"userId": "ada/1", "messageId": "i3", "traits": traits})
    for path, before in ((score, health), (prediction, churn)):
        changed = await web.client.get(path, headers={"If-None-Match": before.headers["etag"]})
        assert changed.status_code == 200, path


async def test_every_list_goes_on_where_its_page_ends(web: RunningWeb) -> None:
    ids = await furnish(web)
    for number in range(3):
        await web.client.post("/api/keys", json={"name": f"key-{number}"})
        person = {"email": f"p{number}@example.com", "name": f"P{number}", "role": "csm"}
        await web.client.post("/api/people", json=person)
        said = {"consents": [{"channel": "email", "granted": bool(number % 2)}], "source": f"form {number}"}
        await web.client.put("/api/customers/ada%2F1/consents", json=said)
        used = {"userId": "ada/1", "event": "feature_used", "properties": {"feature": f"own_{number}"}}
        await web.client.post("/v1/track", json={**used, "messageId": f"f{number}"})
    await web.change(
        "INSERT INTO providers (channel, provider, state, since) VALUES ('email', 'smtp', 'ok', now()), "
        "('sms', 'twilio', 'ok', now()), ('voice', 'twilio', 'ok', now())"
    )
    await web.change(
        "INSERT INTO file_problems (file, problems, at) SELECT 'f' || n || '.yaml', '[]', now() "
        "FROM generate_series(1, 3) n"
    )
    await web.change(
        "INSERT INTO publications (name, kind, version, status, author, note, at, source) "
        "SELECT 'policy', 'policy', 'v' || n, 'live', 'ops', '', now(), '' FROM generate_series(1, 3) n"
    )
    for path, names in (
        (f"/api/runs/{ids['open']}", ("deliveries", "trace", "tasks")),
        ("/api/keys", ("keys",)),
        ("/api/people", ("people",)),
        ("/api/providers", ("providers",)),
        ("/api/playbooks/problems", ("files",)),
        ("/api/playbooks", ("playbooks", "fileProblems")),
        ("/api/playbooks/policy/versions", ("publications",)),
        ("/api/customers/ada%2F1/consents", ("history",)),
        ("/api/customers/ada%2F1/features", ("features",)),
    ):
        whole = (await web.client.get(path)).json()
        assert whole["nextCursor"] is None, path
        found: dict[str, list[Any]] = {name: [] for name in names}
        cursor: str | None = None
        for _ in range(10):
            query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await web.client.get(path, params=query)).json()
            for name in names:
                assert len(page[name]) <= 2, path
                found[name] += page[name]
            if (cursor := page["nextCursor"]) is None:
                break
        assert found == {name: whole[name] for name in names}, path
        assert any(len(rows) >= 3 for rows in found.values()), path


async def test_every_answer_says_by_which_name_it_is_called(web: RunningWeb) -> None:
    named = await web.client.get("/api/runs", headers={"X-Request-Id": "abc-1"})
    assert named.headers["x-request-id"] == "abc-1"
    made = [(await web.client.get("/api/runs", headers={"X-Request-Id": "no name!"})).headers["x-request-id"]]
    made.append((await web.client.get("/api/runs")).headers["x-request-id"])
    assert len(set(made)) == 2
    assert all(len(one) == 16 for one in made)
    assert KEY not in str(made)
