"""Values that nobody can have meant, and answers that must not be kept: each is told as what it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.errors import SettingError
from tests.integration.open_pages import browser_of
from tests.integration.web_edge import RunningWeb, furnish, run_web

ROOT = Path(__file__).parents[2]
# The end of the calendar, and a moment after which no deadline fits into it.
LAST, NEARLY_LAST = "9999-12-31T23:59:00", "9999-12-15T00:00:00"


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        yield running


def told(answer: httpx.Response) -> str:
    """Why a form was refused."""
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


@pytest.mark.parametrize("moment", [LAST, NEARLY_LAST, "2126-03-02T09:00:00"])
async def test_a_year_that_was_mistyped_is_told_so_wherever_a_time_is_agreed_on(
    web: RunningWeb, moment: str
) -> None:
    ids = await furnish(web)
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("reschedule", {"startsAt": f"{moment}Z"}),
        ("reschedule", {"dueAt": f"{moment}Z"}),
        ("complete", {"outcome": "reached", "followUpAt": f"{moment}Z"}),
    )
    for verb, body in asked:
        answer = await web.client.post(f"/api/tasks/{ids['task']}/{verb}", json=body)
        assert answer.status_code == 422, answer.text
        assert "five years" in answer.json()["detail"]
        assert answer.json()["remedy"] == "Check the year."
    async with browser_of(web) as browser:
        called = await browser.post("/customers/ada%2F1/call", data={"at": moment[:16]})
        assert "refused=That+is+more+than+five+years+ahead" in told(called)
        moved = await browser.post(f"/tasks/{ids['task']}/reschedule", data={"due_at": moment[:16]})
        assert "refused=That+is+more+than+five+years+ahead" in told(moved)
    [task] = await web.rows("SELECT state FROM tasks")
    assert task["state"] == "open"


async def test_so_many_minutes_that_no_number_holds_them_are_refused(web: RunningWeb) -> None:
    ids = await furnish(web)
    async with browser_of(web) as browser:
        fields = {"outcome": "reached", "minutes": "000000000999999999999", "by": "anna"}
        answer = await browser.post(f"/tasks/{ids['task']}/complete", data=fields)
    assert "refused=The+minutes+must+be+a+whole+number" in told(answer)


async def test_a_field_of_the_editor_that_the_database_cannot_hold_is_refused(
    database_url: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    source = (ROOT / "playbooks" / "come-back.yaml").read_text(encoding="utf-8")
    settings = {"HOLDFAST_PLAYBOOKS": str(tmp_path / "playbooks"), "HOME": os.environ.get("HOME", "/")}
    async with (
        run_web(database_url, HOLDFAST_PAGES="open", **settings) as web,
        browser_of(web) as browser,
    ):
        fields = {"source": "playbook: come-back", "action": "find", "search": "\x00", "based_on": ""}
        answer = await browser.post("/playbooks/come-back/try", data=fields)
        trial = {"source": source, "facts": {"customer": "c-17"}, "start": "0001-01-01T00:00:00+14:00"}
        early = await web.client.post("/api/playbooks/come-back/simulate", json=trial)
    assert answer.status_code == 400
    assert "a character that can&#39;t be stored" in answer.text
    # The year before the first: told as the simulation tells it.
    assert early.status_code == 422, early.text


async def test_a_stranger_sends_no_large_form(database_url: str) -> None:
    async with run_web(database_url) as web:
        headers = {"Authorization": "", "Content-Type": "application/x-www-form-urlencoded"}
        answer = await web.client.post("/playbooks/come-back/try", content=b"x" * 12_000_000, headers=headers)
    assert answer.status_code in (303, 401, 403)


async def test_what_is_said_to_be_kept_by_nobody_is_kept_by_no_cache(web: RunningWeb) -> None:
    await furnish(web)
    answer = await web.client.get("/api/customers/ada%2F1/export")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_a_page_that_is_asked_for_in_another_way_says_which_ways_there_are(web: RunningWeb) -> None:
    async with browser_of(web) as browser:
        answer = await browser.put("/alerts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/book/cut-off", "/calendar/cut-off.ics", "/u/cut-off", "/preferences/cut-off"]
)
async def test_customers_whose_link_is_cut_off_see_nothing_of_the_operators_pages(
    database_url: str, path: str
) -> None:
    async with run_web(database_url, HOLDFAST_SECRET_KEY="s" * 64) as web:
        answer = await web.client.get(path, headers={"Accept": "text/html", "Authorization": ""})
    assert answer.status_code == 404
    assert "This link is not complete" in answer.text
    assert "/playbooks" not in answer.text
    assert "Go to the overview" not in answer.text


async def test_who_sees_metrics_is_settled_before_anybody_asks(database_url: str) -> None:
    with pytest.raises(SettingError, match="HOLDFAST_METRICS is 'everybody'"):
        async with run_web(database_url, HOLDFAST_METRICS="everybody"):
            pass


async def test_a_bulk_start_that_waits_for_a_worker_is_looked_at_anew_by_a_script_and_without_one(
    web: RunningWeb,
) -> None:
    await furnish(web)
    batch = "7d7f5e6e-7a0c-4a3c-9d5e-0d5c8f1f2a3b"
    await web.change(
        "INSERT INTO entry_requests (id, customer_id, playbook, reason, requested_at, batch) SELECT gen_random_uuid(), "
        "id, 'rescue-open', '', now(), CAST(:batch AS uuid) FROM customers WHERE external_id = 'ada/1'",
        batch=batch,
    )
    async with browser_of(web) as browser:
        # Whoever sends the form of it again is led to it.
        chosen = {"playbook": "rescue-open", "pick": "ada/1", "batch": batch}
        assert (await browser.post("/bulk/start", data=chosen)).headers["location"] == f"/bulk/{batch}"
        page = (await browser.get(f"/bulk/{batch}")).text
        script = await browser.get("/static/bulk.js")
    # A page that loads itself anew takes the place of whoever reads it by ear.
    assert page.count("http-equiv") == len(re.findall(r"<noscript><meta http-equiv", page)) == 1
    assert "data-undecided" in page
    assert '<script type="module" src="/static/bulk.js">' in page
    assert "[data-undecided]" in script.text


def path_of(template: str, ids: dict[str, str]) -> str:
    """Where an operation is, of somebody and something that there is."""
    known = {"userId": "ada%2F1", "verb": "pause", "name": "rescue-open", "id": ids["open"]}
    if template.startswith("/api/tasks"):
        known["id"] = ids["task"]
    return re.sub(r"\{(\w+)\}", lambda found: known[found.group(1)], template)


async def operations_of(web: RunningWeb) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of whatever is under /api."""
    document = (await web.client.get("/openapi.json")).json()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/")
    ]


async def test_no_operation_passes_over_a_parameter_that_it_does_not_know(web: RunningWeb) -> None:
    ids, asked = await furnish(web), 0
    for method, path, operation in await operations_of(web):
        known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
        misspelt = f"{known[0][:-1]}_x" if known else "limit"
        answer = await web.client.request(method, path_of(path, ids), params={misspelt: "1"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "HF100"), (method, path, answer.text)
        [error] = problem["errors"]
        assert error["pointer"] == f"/query/{misspelt}"
        for name in known:
            assert name in error["detail"], (method, path)
        asked += 1
    assert asked > 60


async def test_a_filter_that_would_filter_nothing_is_told_so(web: RunningWeb) -> None:
    for query, told in (
        ("stat=open", "Did you mean `state`?"),
        ("userid=ada", "Did you mean `userId`?"),
        ("state=open&state=ended", "It stands here 2 times"),
        ("userId=", "It is empty"),
        ("userId=ada&customerId=ben", "name several customers"),
        ("_=1", "There are: "),
    ):
        answer = await web.client.get(f"/api/runs?{query}")
        assert answer.status_code == 422, query
        assert told in answer.json()["detail"]
        # Who it is comes first.
        strange = await web.client.get(f"/api/runs?{query}", headers={"Authorization": ""})
        assert strange.status_code == 401


async def test_a_filter_may_be_named_as_each_system_calls_it_and_stand_as_often_as_it_has_values(
    web: RunningWeb,
) -> None:
    await furnish(web)
    for query in ("userId=ada/1&customerId=ada/1", "customer=ada/1"):
        answer = await web.client.get(f"/api/runs?{query}")
        assert len(answer.json()["runs"]) == 2, query
    assert (await web.client.get("/api/customers?risk=critical&risk=healthy")).status_code == 200


NESTED = "[" * 200 + "]" * 200
# What is sent as a body: with which Content-Type and Content-Encoding, and the status that it must come to (None: none
# that means a fault of ours).
ODD_BODIES: tuple[tuple[str, bytes, dict[str, str], int | None], ...] = (
    ("nothing", b"", {}, None),
    ("no JSON", b"{", {}, 400),
    ("two values", b"{} {}", {}, 400),
    ("NaN", b'{"x": NaN}', {}, 400),
    ("infinite", b'{"x": -Infinity}', {}, 400),
    ("twice", b'{"x": 1, "y": {"z": [{"a": 1, "a": 2}]}}', {}, 400),
    ("no UTF-8", b'{"x": "\xff"}', {}, 400),
    ("UTF-16", '{"x": 1}'.encode("utf-16"), {}, 400),
    ("deep", b'{"x": ' + NESTED.encode() + b"}", {}, 400),
    ("very deep", b"[" * 100_000, {}, 400),
    ("digits", b'{"x": ' + b"9" * 5000 + b"}", {}, 400),
    ("too large", b'{"x": 1e400}', {}, 422),
    ("half a character", b'{"x": "\\ud800"}', {}, 422),
    ("half a name", b'{"\\udc00": 1}', {}, 422),
    ("a list", b"[]", {}, None),
    ("a text", b'"x"', {}, None),
    ("a large number", b'{"x": 123456789012345678901234567890}', {}, None),
    ("a form", b"x=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("no type", b"{}", {"Content-Type": ""}, 415),
    ("Latin", b"{}", {"Content-Type": "application/json; charset=iso-8859-1"}, 415),
    ("packed", b"\x1f\x8b\x08", {"Content-Encoding": "gzip"}, 415),
)


async def test_no_body_that_nobody_can_have_meant_is_taken_and_none_is_our_fault(web: RunningWeb) -> None:
    ids, asked = await furnish(web), 0
    for method, path, operation in await operations_of(web):
        if method not in ("POST", "PUT"):
            continue
        # What is refused before anybody looks whom it is for, a few at each; what comes through, everywhere.
        of_all = [one for one in ODD_BODIES if one[3] is None]
        others = [one for one in ODD_BODIES if one[3] is not None]
        for what, body, headers, status in of_all + [others[(asked + n) % len(others)] for n in range(3)]:
            answer = await web.client.request(
                method,
                path_of(path, ids),
                content=body,
                headers={"Content-Type": "application/json", **headers},
            )
            where = (what, method, path, answer.text)
            if status is not None:
                assert answer.status_code == status, where
            # A part that is away, as here Temporal and whoever decides, is none of the body's faults.
            assert answer.status_code < 500 or answer.json()["code"] == "HF400", where
            if answer.is_error:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["type"] == f"/problems/{answer.json()['code']}"
                assert answer.json()["remedy"], where
            asked += 1
        wrong = await web.client.request(method, path_of(path, ids), json={"surely_none": 1})
        assert wrong.status_code == 422, (method, path, wrong.text)
        pointers = {one["pointer"]: one["detail"] for one in wrong.json()["errors"]}
        told = "There are: " if "requestBody" in operation else "takes no body"
        assert told in pointers["/body/surely_none"], (method, path)
    assert asked > 150


async def test_what_is_wrong_with_a_body_is_told_at_its_place(web: RunningWeb) -> None:
    ids = await furnish(web)
    for body, pointer, told in (
        ({"outcome": "reached", "note": "x"}, "/body/note", "Did you mean `notes`?"),
        ({"outcome": "reached", "satisfactionRating": "5"}, "/body/satisfactionRating", "integer"),
        ({"outcome": "reached", "satisfactionRating": True}, "/body/satisfactionRating", "integer"),
        ({"outcome": 5}, "/body/outcome", "string"),
        ({"outcome": "reached", "notes": "a\0b"}, "/body/notes", "can't be stored"),
        ({"outcome": "reached", "followUpAt": 5}, "/body/followUpAt", "2026-03-02T09:00:00Z"),
        ({"outcome": "reached", "followUpAt": "1999"}, "/body/followUpAt", "2026-03-02T09:00:00Z"),
        ({"outcome": "reached", "followUpAt": "2026-12-01T09:00:00"}, "/body/followUpAt", "timezone"),
    ):
        answer = await web.client.post(f"/api/tasks/{ids['task']}/complete", json=body)
        assert answer.status_code == 422, answer.text
        [error] = answer.json()["errors"]
        assert error["pointer"] == pointer
        assert told in error["detail"], body
    [task] = await web.rows("SELECT state FROM tasks")
    assert task["state"] == "open"


async def test_a_place_in_a_body_is_pointed_at_as_pointers_are_written(web: RunningWeb) -> None:
    sent = b'{"source": "api", "consents": [{"channel": "email", "granted": true, "granted": false}]}'
    headers = {"Content-Type": "application/json"}
    twice = await web.client.put("/api/customers/ada%2F1/consents", content=sent, headers=headers)
    assert [one["pointer"] for one in twice.json()["errors"]] == ["/body/consents/0/granted"]
    odd = await web.client.put("/api/customers/ada%2F1/consents", json={"a/b~c": 1, "consents": []})
    assert "/body/a~1b~0c" in [one["pointer"] for one in odd.json()["errors"]]
    both = {"userId": "ada/1", "supplierId": "ben", "playbook": "x"}
    named = await web.client.post("/api/customer-success/interventions/trigger", json=both)
    assert "the same as `userId`" in named.json()["errors"][0]["detail"]


ODD_MOMENTS: tuple[tuple[str, str, dict[str, Any] | None, str], ...] = (
    ("POST", "/api/runs/RUN/snooze", {"until": LAST + "Z"}, "by a year at most"),
    ("POST", "/api/runs/RUN/snooze", {"until": "2199-01-01T00:00:00+14:00"}, "by a year at most"),
    ("GET", "/api/audit?since=0001-01-01T00:00:00%2B14:00", None, "between 1970-01-01 and 2199-12-31"),
    ("GET", f"/api/audit?until={LAST}-12:00", None, "between 1970-01-01 and 2199-12-31"),
    ("GET", "/api/audit?since=5", None, "Write a moment with its zone"),
    ("GET", "/api/audit?since=2026-03-02T09:00:00Z&until=2026-03-01T09:00:00Z", None, "comes before"),
    ("GET", "/api/customer-success/performance?last=9999-12-31", None, "between 1970-01-01 and 2199-12-31"),
    ("GET", "/api/customer-success/performance?first=0001-01-01", None, "between 1970-01-01 and 2199-12-31"),
    ("GET", "/api/customer-success/performance?first=5", None, "Write a day as in 2026-03-02"),
    ("POST", "/api/events/corrections",
     {"source": "api", "messageId": "i1", "reason": "x", "at": "0001-01-01T00:00:00+14:00"}, "between 1970-01-01"),
    ("PUT", "/api/customers/ada%2F1/consents",
     {"consents": [{"channel": "email", "granted": True, "at": LAST + "Z"}]}, "lies ahead"),
    ("PUT", "/api/customers/ada%2F1/consents",
     {"consents": [{"channel": "email", "granted": True, "at": "0001-01-01T00:00:00+14:00"}]}, "1990"),
    ("POST", "/api/keys", {"name": "a", "expiresInDays": 99999}, "3650"),
)  # fmt: skip


async def test_a_moment_that_nobody_can_mean_is_refused_with_the_bound(web: RunningWeb) -> None:
    ids = await furnish(web)
    for method, path, body, told in ODD_MOMENTS:
        answer = await web.client.request(method, path.replace("RUN", ids["open"]), json=body)
        assert answer.status_code == 422, (path, answer.text)
        assert told in answer.json()["detail"], path


async def test_whoever_only_looks_gets_the_headers_and_no_body(web: RunningWeb) -> None:
    await furnish(web)
    own = {"date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"}
    for path in ("/api/runs", "/api/customers/ada%2F1", "/api/runs/none", "/healthz", "/openapi.json", "/tasks",
                 "/static/holdfast.css", "/problems/HF100"):  # fmt: skip
        got, looked = await web.client.get(path), await web.client.head(path)
        assert looked.status_code == got.status_code, path
        assert looked.content == b""
        for name in got.headers.keys() - own:
            assert looked.headers[name] == got.headers[name], (path, name)
    tag = (await web.client.head("/api/runs")).headers["etag"]
    assert (await web.client.head("/api/runs", headers={"If-None-Match": tag})).status_code == 304
    for path, allowed in (("/api/stream", "GET"), ("/changes", "GET"), ("/v1/track", "POST")):
        refused = await web.client.head(path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    refused = await web.client.delete("/api/runs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_every_problem_leads_to_a_page_that_explains_it(web: RunningWeb) -> None:
    named = {"X-Request-Id": "abc-1"}
    problem = (await web.client.get("/api/runs/none", headers=named)).json()
    assert problem["instance"] == "urn:holdfast:request:abc-1"
    async with browser_of(web) as browser:
        page = await browser.get(problem["type"], headers={"Authorization": ""})
        every = await browser.get("/problems")
        none = await browser.get("/problems/HF999")
    assert page.status_code == 200
    assert "There is no such thing." in page.text
    assert "problems/HF146" in every.text
    assert none.status_code == 404


async def test_of_strangers_nothing_is_read_and_of_nobody_a_million_parts(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(web)
    sent = {"Content-Type": "application/json"}
    for path in ("/api/playbooks/check", "/api/customers/ada%2F1/consents", "/api/people"):
        stranger = await web.client.post(
            path, content=b"[{}," * 20_000, headers={**sent, "Authorization": ""}
        )
        assert (stranger.status_code, stranger.json()["code"]) == (401, "HF150")
    consents = "/api/customers/ada%2F1/consents"
    parts = await web.client.post(consents, content=b"[" + b"{}," * 200_000 + b"{}]", headers=sent)
    assert (parts.status_code, "200,000 objects" in parts.json()["detail"]) == (400, True)
    odd = await web.client.post(consents, content=b"[" + b"NaN," * 100_000 + b"1]", headers=sent)
    assert (odd.status_code, "1000 others" in odd.json()["detail"]) == (400, True)
    # What is wrong is told of a few, and nobody looks what may be meant by the others.
    asked: list[str] = []

    def tell(name: str, known: object) -> str:
        asked.append(name)
        return str(known)

    monkeypatch.setattr("web.asked.tell_known", tell)
    names = await web.client.post(consents, json={f"k{number}": 1 for number in range(50_000)})
    assert (names.status_code, len(names.json()["errors"]), len(asked)) == (422, 10, 10)
    word = {"channel": "email", "granted": True, "evidence": {f"k{number}": [1] for number in range(20_000)}}
    for body in ({"consents": [word]}, {"consents": [1] * 100_000}, {"consents": [{}] * 100_000}):
        answer = await web.client.post(consents, json=body)
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)
        assert "entries; there may be" in answer.json()["detail"]
