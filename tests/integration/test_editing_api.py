"""Editing from afar: problems, timelines and plans as on the command line, and publishing that nobody loses by."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from loops.watching import Watcher
from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from store.api_keys import store_key
from store.database import Database
from tests.integration.web_edge import SECRET, RunningWeb, run_web

ROOT = Path(__file__).parents[2]
NAME = "come-back"
FACTS = {
    "customer": "c-17",
    "now": "2026-03-02T09:00:00Z",
    "signals": {
        "health_score": 31,
        "days_since_last_login": 20,
        "plan": "pro",
        "subscription_status": "active",
    },
    "profile": {"first_name": "Elena", "email": "elena@example.com", "timezone": "Europe/Berlin"},
    "consent": {"email": True},
}
EVENTS = [{"at": "2026-03-04T10:00:00Z", "name": "login"}]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    return tmp_path / "playbooks"


@pytest.fixture
async def web(database_url: str, directory: Path) -> AsyncIterator[RunningWeb]:
    async with run_web(
        database_url,
        HOLDFAST_PLAYBOOKS=str(directory),
        HOME=os.environ.get("HOME", "/"),
        HOLDFAST_PAGES="open",
    ) as running:
        yield running


def text_of(directory: Path, name: str = NAME) -> str:
    return (directory / f"{name}.yaml").read_text(encoding="utf-8")


def holdfast(database_url: str, *arguments: str, given: str = "") -> str:
    """What the command prints."""
    environ = {
        **os.environ,
        "HOLDFAST_DATABASE_URL": database_url,
        "HOLDFAST_SECRET_KEY": SECRET,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        input=given, capture_output=True, text=True, env=environ, check=False, timeout=100,
    )  # fmt: skip
    return done.stdout


async def posted(web: RunningWeb, path: str, **body: Any) -> dict[str, Any]:
    answer = await web.client.post(f"/api/playbooks/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def opened(web: RunningWeb, name: str = NAME) -> dict[str, Any]:
    answer = await web.client.get(f"/api/playbooks/{name}/source")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def put(web: RunningWeb, name: str, source: str, based_on: str, note: str = "") -> httpx.Response:
    body = {"source": source, "basedOn": based_on, "note": note}
    return await web.client.put(f"/api/playbooks/{name}", json=body)


# Problems


@pytest.mark.parametrize(
    "file", ["conditions", "steps", "experiments", "yaml-tab", "broken-template", "starting"]
)
async def test_a_check_says_what_validate_says(
    web: RunningWeb, directory: Path, database_url: str, file: str
) -> None:
    text = (ROOT / "tests" / "bad_playbooks" / f"{file}.yaml").read_text(encoding="utf-8")
    told = await posted(web, "check", file=f"{file}.yaml", source=text)
    (directory / f"{file}.yaml").write_text(text, encoding="utf-8")
    printed = await asyncio.to_thread(
        holdfast, database_url, "validate", str(directory / f"{file}.yaml"), "--format", "json"
    )
    expected = [json.loads(line) for line in printed.splitlines()]
    assert expected
    assert [
        {key: value for key, value in one.items() if key != "here"} for one in told["problems"]
    ] == expected
    assert not told["valid"]


async def test_a_policy_that_takes_a_team_away_is_told_where_it_is_missed(
    web: RunningWeb, directory: Path
) -> None:
    policy = text_of(directory, "policy")
    (directory / "policy.yaml").write_text(
        policy + "\nteams:\n  venues: {members: [ada]}\n", encoding="utf-8"
    )
    call = text_of(directory).replace("status: live", "status: draft")
    call = call.replace(f"playbook: {NAME}", "playbook: by-team")
    call = call[: call.index("steps:")] + "steps:\n  - call: {title: Hello, assign: {team: venues}}\n"
    (directory / "by-team.yaml").write_text(call, encoding="utf-8")
    assert (await posted(web, "check", file="policy.yaml", source=text_of(directory, "policy")))[
        "problems"
    ] == []
    told = await posted(web, "check", file="policy.yaml", source=policy)
    assert [(one["file"], one["here"]) for one in told["problems"]] == [
        (str(directory / "by-team.yaml"), False)
    ]


async def test_a_file_outside_of_the_directory_is_refused(web: RunningWeb) -> None:
    for file in ("../secret.yaml", "/etc/passwd", "tests/x.yaml", "x.yml", "templates/../x.yaml"):
        answer = await web.client.post("/api/playbooks/check", json={"file": file, "source": "x"})
        assert answer.status_code == 422, file


async def test_words_and_signals_are_suggested_at_the_caret(web: RunningWeb) -> None:
    async def words(text: str) -> list[str]:
        line = text.count("\n") + 1
        column = len(text) - (text.rfind("\n") + 1) + 1
        told = await posted(web, "complete", file="x.yaml", source=text, line=line, column=column)
        return [one["word"] for one in told["suggestions"]]

    assert "health_score" in await words("enter:\n  when:\n    heal")
    assert await words("status: li") == ["live"]
    assert "best-invitations" in await words("steps:\n  - email: ")
    assert await words("about: >\n  he") == []


# Trying out


async def test_a_simulation_is_the_one_of_the_command_line(
    web: RunningWeb, directory: Path, database_url: str, tmp_path: Path
) -> None:
    told = await posted(web, f"{NAME}/simulate", source=text_of(directory), facts=FACTS, events=EVENTS)
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, EVENTS)))
    printed = await asyncio.to_thread(
        holdfast, database_url, "simulate", NAME, "--facts", str(tmp_path / "facts.json"),
        "--events", str(tmp_path / "events.jsonl"), "--playbooks", str(directory),
    )  # fmt: skip
    assert told["lines"] == [json.loads(line) for line in printed.splitlines()]
    assert told["lines"][-1]["run"] == "ended"


async def test_it_is_the_text_that_is_played_and_a_customer_as_they_are_now(
    web: RunningWeb, directory: Path
) -> None:
    await web.client.post(
        "/v1/identify",
        json={"userId": "ada", "messageId": "i1", "traits": {"firstName": "Ada", "email": "ada@example.com"}},
    )
    text = text_of(directory)
    text = text[: text.index("steps:")] + (
        'steps:\n  - id: hello\n    email: {subject: "Dear {{ customer.first_name }}", text: Hello}\n'
    )
    told = await posted(web, f"{NAME}/simulate", source=text, userId="ada")
    [mail] = [line for line in told["lines"] if line.get("step") == "hello"]
    assert mail["subject"] == "Dear Ada"
    assert text_of(directory) != text


async def test_what_cannot_be_played_says_why(web: RunningWeb, directory: Path) -> None:
    for body, word in (
        ({"facts": {"signals": {}}}, "customer"),
        ({"facts": FACTS, "events": [{"at": "never"}]}, "events:1: at: The time is no time"),
        ({"userId": "nobody"}, "nobody"),
        ({}, "userId"),
    ):
        answer = await web.client.post(
            f"/api/playbooks/{NAME}/simulate", json={"source": text_of(directory), **body}
        )
        assert answer.status_code in (404, 422), answer.text
        assert word in answer.json()["detail"]
        assert "/tmp" not in answer.text
    answer = await web.client.post(f"/api/playbooks/{NAME}/simulate", json={"source": "x: [", "facts": FACTS})
    assert answer.status_code == 422


async def test_a_plan_is_the_one_of_the_command_line(
    web: RunningWeb, directory: Path, database_url: str
) -> None:
    await asyncio.to_thread(holdfast, database_url, "apply", "--playbooks", str(directory))
    text = (
        text_of(directory)
        .replace("holdout: 10%", "holdout: 20%")
        .replace("steps:\n", "steps:\n  - wait: 1d\n", 1)
    )
    assert text != text_of(directory)
    told = await posted(web, f"{NAME}/plan", source=text)
    file = directory / f"{NAME}.yaml"
    file.write_text(text, encoding="utf-8")
    printed = await asyncio.to_thread(holdfast, database_url, "plan", str(file), "--format", "json")
    assert told["plan"] == json.loads(printed)
    assert told["plan"]["changes"][0]["change"] == "version"


# Publishing


async def test_a_text_is_published_with_its_comments_who_did_it_and_why(
    web: RunningWeb, directory: Path
) -> None:
    before = await opened(web)
    text = before["source"].replace("steps:\n", "steps:\n  # Let them rest first.\n  - wait: 1d\n", 1)
    answer = await put(web, NAME, text, before["basedOn"], "a day of rest")
    assert answer.status_code == 200, answer.text
    assert answer.json()["changes"][0]["name"] == NAME
    assert text_of(directory) == text
    [row] = await web.rows("SELECT author, note, source FROM publications WHERE name = :name", name=NAME)
    assert (row["author"], row["note"], row["source"]) == ("api", "a day of rest", text)
    audit = await web.rows(
        "SELECT actor_name, action, object_id, after FROM audit_log WHERE object_id = :n", n=NAME
    )
    assert [(one["actor_name"], one["action"]) for one in audit] == [("api", "playbook.published")]
    assert "rest" not in json.dumps(audit[0]["after"])
    after = await opened(web)
    assert after["basedOn"] == answer.json()["basedOn"] != before["basedOn"]
    assert not after["unpublished"]


async def test_of_two_who_opened_the_same_text_the_second_is_refused_and_shown_the_difference(
    web: RunningWeb, directory: Path
) -> None:
    base = await opened(web)
    mine = base["source"].replace("title: ", "title: Mine, ", 1)
    theirs = base["source"].replace("title: ", "title: Theirs, ", 1)
    answers = await asyncio.gather(*(put(web, NAME, one, base["basedOn"]) for one in (mine, theirs)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [refused] = [answer.json() for answer in answers if answer.status_code == 409]
    winner, loser = ("Mine", "Theirs") if "Mine," in text_of(directory) else ("Theirs", "Mine")
    assert refused["code"] == "HF330"
    assert f"\n-title: {winner}, " in refused["detail"]
    assert f"\n+title: {loser}, " in refused["detail"]
    assert await web.count("publications") == 1


async def test_a_file_that_was_saved_elsewhere_is_not_overwritten(web: RunningWeb, directory: Path) -> None:
    base = await opened(web)
    file = directory / f"{NAME}.yaml"
    file.write_text(base["source"] + "\n# saved in another editor\n", encoding="utf-8")
    answer = await put(web, NAME, base["source"].replace("title: ", "title: My ", 1), base["basedOn"])
    assert answer.status_code == 409
    assert "-# saved in another editor" in answer.json()["detail"]
    assert "saved in another editor" in file.read_text(encoding="utf-8")
    assert await web.count("publications") == 0


async def test_a_text_with_errors_changes_nothing(web: RunningWeb, directory: Path) -> None:
    base = await opened(web)
    answer = await put(web, NAME, base["source"].replace("status: live", "status: alive"), base["basedOn"])
    assert answer.status_code == 422
    assert "PB" in answer.json()["detail"]
    assert text_of(directory) == base["source"]
    assert await web.count("publications") == 0


async def test_a_new_playbook_and_one_that_is_there_already(web: RunningWeb, directory: Path) -> None:
    text = text_of(directory).replace(f"playbook: {NAME}", "playbook: brand-new")
    answer = await put(web, "brand-new", text, "")
    assert answer.status_code == 200, answer.text
    assert text_of(directory, "brand-new") == text
    again = await put(web, "brand-new", text + "# more\n", "")
    assert again.status_code == 409
    assert again.json()["detail"].startswith("brand-new.yaml is there already.")


async def test_line_ends_and_rights_of_the_file_stay_as_they_are(web: RunningWeb, directory: Path) -> None:
    file = directory / f"{NAME}.yaml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    base = await opened(web)
    assert "\r" not in base["source"]
    answer = await put(web, NAME, base["source"].replace("title: ", "title: My ", 1), base["basedOn"])
    assert answer.status_code == 200, answer.text
    assert file.read_bytes().count(b"\r\n") == file.read_bytes().count(b"\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert not (await opened(web))["unpublished"]
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []


async def test_where_the_file_cannot_be_written_it_is_published_and_told(
    web: RunningWeb, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = await opened(web)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    answer = await put(web, NAME, base["source"].replace("title: ", "title: My ", 1), base["basedOn"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["written"] is None
    assert answer.json()["kept"].endswith("can't be written: Permission denied")
    assert text_of(directory) == base["source"]
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []
    assert await web.count("publications") == 1


async def test_the_policy_governs_as_soon_as_it_is_published(web: RunningWeb, directory: Path) -> None:
    base = await opened(web, "policy")
    text = base["source"] + "\n# edited in the browser\n"
    answer = await put(web, "policy", text, base["basedOn"], "why not")
    assert answer.status_code == 200, answer.text
    [row] = await web.rows("SELECT kind, author, note FROM publications WHERE name = 'policy'")
    assert (row["kind"], row["author"], row["note"]) == ("policy", "api", "why not")


async def test_whoever_may_not_edit_may_try_out_but_neither_plan_nor_publish(
    web: RunningWeb, directory: Path
) -> None:
    async with web.other.transaction() as connection:
        await store_key(connection, "grace", "csm-key-0123456789abcdef", now=datetime.now(UTC), role="csm")
    headers, text = {"Authorization": "Bearer csm-key-0123456789abcdef"}, text_of(directory)

    async def status(method: str, path: str, **body: Any) -> int:
        answer = await web.client.request(method, f"/api/playbooks/{path}", json=body, headers=headers)
        return answer.status_code

    assert await status("POST", "check", file=f"{NAME}.yaml", source=text) == 200
    assert await status("POST", f"{NAME}/plan", source=text) == 403
    assert await status("PUT", NAME, source=text, basedOn="") == 403


async def test_the_database_sees_one_publication_when_a_watcher_reads_the_same_file(
    web: RunningWeb, directory: Path, database_url: str
) -> None:
    """What `holdfast worker --watch` reads of the file is live by then."""
    database = Database(
        Settings.read({"HOLDFAST_DATABASE_URL": database_url}).require_database_url(), connections=2
    )
    told: list[str] = []
    watcher = Watcher(database, directory, load_catalogue(), told.extend)
    try:
        await watcher.publish_all()
        before = await web.count("publications")
        base = await opened(web)
        answer = await put(web, NAME, base["source"].replace("title: ", "title: My ", 1), base["basedOn"])
        assert answer.status_code == 200, answer.text
        await watcher._look()
    finally:
        await database.close()
    assert await web.count("publications") == before + 1
    assert sum(line.startswith(f"published {NAME}") for line in told) <= 1
