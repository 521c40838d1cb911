"""If-Match and If-None-Match on playbooks: nobody writes over what they haven't seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from loops.rollback import roll_back
from schemas.catalogue import load_catalogue
from schemas.errors import InputError
from tests.integration.playbook_texts import CARE
from tests.integration.web_edge import RunningWeb, run_web
from web.preconditions import PreconditionError, read_preconditions

WARMER = CARE.replace("We are here.", "We are here for you.")
WARMEST = CARE.replace("We are here.", "We are always here for you.")


@pytest.fixture
async def web(database_url: str, tmp_path: Path) -> AsyncIterator[RunningWeb]:
    async def put_back(playbook: str, version: str, author: str, based_on: str | None) -> Mapping[str, Any]:
        done = await roll_back(
            running.other, tmp_path, load_catalogue(), playbook, version, author=author, based_on=based_on
        )
        return {**vars(done), "written": str(done.written) if done.written else None}

    async with run_web(database_url, roll_back=put_back, HOLDFAST_PLAYBOOKS=str(tmp_path)) as running:
        yield running


async def put(web: RunningWeb, source: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await web.client.put("/api/playbooks/care", json={"source": source}, headers=named)


async def tag_of(web: RunningWeb) -> str:
    answer = await web.client.get("/api/playbooks/care")
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


def refused(answer: httpx.Response, *words: str) -> dict[str, Any]:
    """The problem that says why, and what to do."""
    assert answer.status_code == 412, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == "HF331"
    assert problem["remedy"]
    for word in words:
        assert word in problem["detail"] + problem["remedy"], problem
    return problem


async def test_the_etag_that_was_read_publishes_once(web: RunningWeb, tmp_path: Path) -> None:
    assert (await put(web, CARE)).status_code == 200
    tag = await tag_of(web)
    done = await put(web, WARMER, If_Match=tag)
    assert done.status_code == 200, done.text
    assert (tmp_path / "care.yaml").read_text() == WARMER
    answer = await put(web, WARMEST, If_Match=tag)
    problem = refused(answer, "care.yaml isn't as If-Match says any more")
    # What the other did is shown, and where to go on from.
    assert '-    in_app: {title: "Hello", text: "We are here for you."}' in problem["detail"]
    assert answer.headers["etag"] == await tag_of(web) != tag
    assert (tmp_path / "care.yaml").read_text() == WARMER
    assert (await put(web, WARMEST, If_Match=answer.headers["etag"])).status_code == 200


async def test_it_is_the_same_at_both_addresses_and_the_based_on_of_the_body(web: RunningWeb) -> None:
    based_on = (await put(web, CARE)).json()["basedOn"]
    whole, source = [await web.client.get(f"/api/playbooks/care{path}") for path in ("", "/source")]
    assert whole.json() == source.json()
    assert whole.headers["etag"] == source.headers["etag"] == f'"{based_on}"'
    assert whole.headers["cache-control"] == "private, no-cache"
    again = await web.client.get("/api/playbooks/care", headers={"If-None-Match": f'"{based_on}"'})
    assert (again.status_code, again.content) == (304, b"")
    # It is that of the text, not of the bytes: a save of the file alone makes it another.
    await put(web, WARMER, If_Match=whole.headers["etag"])
    assert (
        await web.client.get("/api/playbooks/care", headers={"If-None-Match": based_on})
    ).status_code == 200


async def test_a_file_that_was_saved_beside_it_counts(web: RunningWeb, tmp_path: Path) -> None:
    await put(web, CARE)
    tag = await tag_of(web)
    (tmp_path / "care.yaml").write_text(WARMER)
    refused(await put(web, WARMEST, If_Match=tag))
    assert (tmp_path / "care.yaml").read_text() == WARMER


async def test_an_asterisk_means_that_it_must_be_there(web: RunningWeb, tmp_path: Path) -> None:
    refused(await put(web, CARE, If_Match="*"), "isn't there", "If-None-Match: *")
    assert not (tmp_path / "care.yaml").exists()
    await put(web, CARE)
    assert (await put(web, WARMER, If_Match="*")).status_code == 200
    assert (tmp_path / "care.yaml").read_text() == WARMER


async def test_with_if_none_match_it_must_be_new(web: RunningWeb, tmp_path: Path) -> None:
    assert (await put(web, CARE, If_None_Match="*")).status_code == 200
    refused(await put(web, WARMER, If_None_Match="*"), "is there already")
    assert (tmp_path / "care.yaml").read_text() == CARE


async def test_of_several_one_has_to_fit_and_both_conditions_hold_together(web: RunningWeb) -> None:
    await put(web, CARE)
    tag = await tag_of(web)
    assert (await put(web, WARMER, If_Match=f'"0a.1", {tag}')).status_code == 200
    # The header fits and the body's `basedOn` doesn't: that is the conflict that it was without the header.
    body = {"source": WARMEST, "basedOn": tag.strip('"')}
    answer = await web.client.put("/api/playbooks/care", json=body, headers={"If-Match": await tag_of(web)})
    assert (answer.status_code, answer.json()["code"]) == (409, "HF330")


async def test_whats_no_etag_is_told_and_changes_nothing(web: RunningWeb, tmp_path: Path) -> None:
    await put(web, CARE)
    tag = await tag_of(web)
    answer = await put(web, WARMER, If_Match=tag.strip('"'))
    assert (answer.status_code, answer.json()["code"]) == (422, "HF100")
    assert "quotes" in answer.json()["remedy"]
    refused(await put(web, WARMER, If_Match=f"W/{tag}"), "without W/")
    assert (tmp_path / "care.yaml").read_text() == CARE


async def test_of_two_at_once_one_is_refused(web: RunningWeb) -> None:
    await put(web, CARE)
    tag = await tag_of(web)
    both = await asyncio.gather(put(web, WARMER, If_Match=tag), put(web, WARMEST, If_Match=tag))
    assert sorted(answer.status_code for answer in both) == [200, 412]


async def test_a_rollback_wants_what_was_looked_at(web: RunningWeb, tmp_path: Path) -> None:
    await put(web, CARE)
    first = (await web.client.get("/api/playbooks/care/versions")).json()["versions"][0]["version"]
    await put(web, WARMER, If_Match="*")
    seen = await tag_of(web)
    await put(web, WARMEST, If_Match=seen)

    async def back(tag: str) -> httpx.Response:
        return await web.client.post(
            "/api/playbooks/care/rollback", json={"version": first}, headers={"If-Match": tag}
        )

    refused(await back(seen))
    assert (tmp_path / "care.yaml").read_text() == WARMEST
    done = await back(await tag_of(web))
    assert done.status_code == 200, done.text
    assert (tmp_path / "care.yaml").read_text() == CARE


async def test_whoever_is_quicker_between_the_look_and_the_rollback_is_not_overwritten(
    database_url: str, tmp_path: Path
) -> None:
    quick = False

    async def put_back(playbook: str, version: str, author: str, based_on: str | None) -> Mapping[str, Any]:
        if quick:
            (tmp_path / "care.yaml").write_text(WARMEST)
        done = await roll_back(
            web.other, tmp_path, load_catalogue(), playbook, version, author=author, based_on=based_on
        )
        return {**vars(done), "written": str(done.written)}

    async with run_web(database_url, roll_back=put_back, HOLDFAST_PLAYBOOKS=str(tmp_path)) as web:
        await put(web, CARE)
        [first] = (await web.client.get("/api/playbooks/care/versions")).json()["versions"]
        await put(web, WARMER, If_Match="*")

        async def back(**headers: str) -> httpx.Response:
            body = {"version": first["version"]}
            return await web.client.post("/api/playbooks/care/rollback", json=body, headers=headers)

        tag, quick = await tag_of(web), True
        refused(await back(**{"If-Match": tag}))
        assert (tmp_path / "care.yaml").read_text() == WARMEST
        # Whoever says nothing of what they have seen gets what they ask for, as ever.
        answer = await back()
        assert answer.status_code == 200, answer.text
        assert (tmp_path / "care.yaml").read_text() == CARE


@pytest.mark.parametrize(
    "written", ["", "abc", '"a" b', "*, *", 'W"a"', '"a', "," * 3, '"' + "a" * 3000 + '"']
)
def test_no_tag_is_no_tag(written: str) -> None:
    with pytest.raises(InputError, match="If-Match holds no ETag"):
        read_preconditions([written], [])


def test_tags_are_read_from_all_headers_of_the_name() -> None:
    conditions = read_preconditions(['"a"', '"b,c" , W/"d"'], [])
    for tag in ("a", "b,c"):
        conditions.check("It", tag)
    for tag in ("d", "b"):
        with pytest.raises(PreconditionError):
            conditions.check("It", tag)
    assert not read_preconditions([], []).asked
