"""Playbook files put live by `holdfast apply`, looked at beforehand, compared and rolled back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from activities.steps import StepOpening
from activities.versions import Versions
from cli.main import run
from loops.evaluator import Evaluator
from loops.rollback import roll_back
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from scoring.moving import make_mover
from store.database import Database
from store.intake import take_in
from tests.integration.web_edge import run_web

PLAYBOOK = """\
playbook: {name}
title: Win back
owner: cs-ops
status: {status}

enter:
  when:
    event: {{name: help_wanted}}
  again: after {again}

steps:
  - id: greet
    email:
      subject: Hello
      text: "{text}"
  - id: rest
    wait: 3d
  - id: ring
    call:
      title: Ring
"""
POLICY = "caps: {total: 3 per 7d}\n"
TEMPLATE = "template: tips\nemail:\n  subject: Tips\n  text: {text}\n"
USES_TEMPLATE = PLAYBOOK.replace('      subject: Hello\n      text: "{text}"\n', "      template: tips\n")


class Desk:
    """A directory of playbooks, and `holdfast` beside it."""

    def __init__(
        self, directory: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.directory, self.url = directory, url
        self._capsys = capsys
        (directory / "templates").mkdir(parents=True)
        for name in [name for name in os.environ if name.startswith(("HOLDFAST_", "TEMPORAL_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOLDFAST_DATABASE_URL", url)
        monkeypatch.setenv("HOLDFAST_PLAYBOOKS", str(directory))
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory.parent / "cache"))

    def write(self, name: str, text: str = "Hi", *, status: str = "live", again: str = "7d") -> Path:
        path = self.directory / f"{name}.yaml"
        path.write_text(PLAYBOOK.format(name=name, text=text, status=status, again=again))
        return path

    def holdfast(self, *arguments: str, status: int = 0) -> str:
        """What the command prints, ending as it should."""
        self._capsys.readouterr()
        ended = run(arguments)
        told = self._capsys.readouterr()
        assert ended == status, f"{told.out}\n{told.err}"
        return told.out

    def apply(self, *arguments: str, status: int = 0) -> dict[str, str]:
        """What became of each file."""
        told = self.holdfast("apply", "--format", "json", *arguments, status=status)
        return {line["name"]: line["change"] for line in map(json.loads, told.splitlines())}

    def plan(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.holdfast("plan", "--format", "json", *arguments, status=status)
        )
        return found

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def tell(self, customer: str, *names: str, **traits: str) -> None:
        """Events of a customer that happen now; nobody looks at them yet."""

        async def take() -> None:
            now, database = datetime.now(UTC), Database(self.url, connections=1)
            events = [
                IncomingEvent(
                    "test", str(uuid.uuid4()), customer, name, now, now, now.date(), {},
                    traits if name == "identify" else {},
                )
                for name in ("identify", *names)
            ]  # fmt: skip
            await take_in(database, events, move=make_mover(load_catalogue()))
            await database.close()

        asyncio.run(take())

    def evaluate(self) -> None:
        """Let those enter who do so now; nothing carries out their runs."""

        async def look() -> None:
            database = Database(self.url, connections=2)
            await Evaluator(StepOpening(database, load_catalogue(), Versions())).run_once()
            await database.close()

        asyncio.run(look())


@pytest.fixture
def desk(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    return Desk(tmp_path / "playbooks", database_url, monkeypatch, capsys)


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True)


# --- Publishing ------------------------------------------------------------------------------------------------


def test_apply_tells_of_every_file_what_became_of_it_and_notes_it(desk: Desk) -> None:
    desk.write("one")
    desk.write("two")
    (desk.directory / "policy.yaml").write_text(POLICY)
    assert desk.apply() == {"one": "new", "two": "new", "policy": "policy"}
    assert desk.apply() == {"one": "unchanged", "two": "unchanged"}
    desk.write("one", "Other words")
    desk.write("two", again="9d")
    assert desk.apply() == {"one": "version", "two": "limits"}
    desk.write("one", "Other words", status="paused")
    (desk.directory / "two.yaml").unlink()
    assert desk.apply() == {"one": "status", "two": "retired"}
    (desk.directory / "one.yaml").write_text(
        "# Why it stands still\n" + desk.write("one", "Other words", status="paused").read_text()
    )
    assert desk.apply() == {"one": "text"}
    noted = desk.rows("SELECT name, kind, status, version, source, note FROM publications ORDER BY id")
    assert [(row["name"], row["kind"], row["status"]) for row in noted] == [
        ("one", "playbook", "live"), ("two", "playbook", "live"), ("policy", "policy", ""),
        ("one", "playbook", "live"), ("two", "playbook", "live"),
        ("one", "playbook", "paused"), ("two", "retired", "retired"),
        ("one", "playbook", "paused"),
    ]  # fmt: skip
    assert noted[-1]["source"].startswith("# Why")
    assert noted[2]["source"] == POLICY
    assert {row["version"] for row in noted if row["name"] == "two"} == {noted[1]["version"]}
    assert desk.rows("SELECT status FROM playbooks ORDER BY name") == [
        {"status": "paused"},
        {"status": "retired"},
    ]


def test_a_bad_file_changes_nothing_is_noted_until_it_is_mended_and_stops_no_other(desk: Desk) -> None:
    desk.write("one")
    desk.write("two")
    desk.apply()
    before = desk.rows("SELECT name, version FROM playbooks ORDER BY name")
    (desk.directory / "one.yaml").write_text("playbook: one\ntitle: x\nstatus: lively\n")
    desk.write("two", "Other words")
    (desk.directory / "policy.yaml").write_text("caps: {total: many}\n")
    assert desk.apply(status=1) == {"two": "version", "one": "refused", "policy": "refused"}
    after = desk.rows("SELECT name, version FROM playbooks ORDER BY name")
    assert (after[0], after[1]["version"] != before[1]["version"]) == (before[0], True)
    [bad, policy] = desk.rows("SELECT file, problems FROM file_problems ORDER BY file")
    assert (bad["file"], policy["file"]) == ("one.yaml", "policy.yaml")
    assert {"line", "column", "code", "message", "hint"} <= bad["problems"][0].keys()
    assert "one.yaml" in desk.holdfast("apply", "one", status=1)
    desk.write("one")
    assert desk.apply("one") == {"one": "unchanged"}
    assert [row["file"] for row in desk.rows("SELECT file FROM file_problems")] == ["policy.yaml"]
    (desk.directory / "policy.yaml").write_text(POLICY)
    assert desk.apply()["policy"] == "policy"
    assert desk.rows("SELECT file FROM file_problems") == []


def test_a_bad_policy_leaves_the_last_good_one_in_force(desk: Desk) -> None:
    policy = desk.directory / "policy.yaml"
    policy.write_text(POLICY)
    desk.write("one")
    desk.apply()
    policy.write_text("caps: {total: many}\n")
    desk.apply(status=1)
    [row] = desk.rows("SELECT value FROM governance")
    assert row["value"]["caps"]["total"]["times"] == 3


def test_with_paths_only_those_are_published_and_nothing_is_retired(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.write(name)
    desk.apply()
    desk.write("one", "Other words")
    desk.write("two", "Other words")
    desk.write("three")
    assert desk.apply(str(desk.directory / "one.yaml"), "three") == {"one": "version", "three": "new"}
    (desk.directory / "three.yaml").unlink()
    assert desk.apply(str(desk.directory)) == {"one": "unchanged", "two": "version"}
    assert {row["status"] for row in desk.rows("SELECT status FROM playbooks")} == {"live"}


def test_a_template_means_the_playbooks_that_use_it(desk: Desk) -> None:
    template = desk.directory / "templates" / "tips.yaml"
    template.write_text(TEMPLATE.format(text="Old"))
    uses = desk.directory / "uses.yaml"
    uses.write_text(USES_TEMPLATE.format(name="uses", status="live", again="7d"))
    desk.write("other")
    desk.apply()
    template.write_text(TEMPLATE.format(text="New"))
    assert desk.apply(str(template)) == {"uses": "version"}
    template.write_text("template: tips\nemail: 3\n")
    assert desk.apply(str(template), status=1) == {"tips": "refused"}
    assert desk.apply(status=1) == {"other": "unchanged", "tips": "refused", "uses": "refused"}
    assert [row["file"] for row in desk.rows("SELECT file FROM file_problems")] == ["templates/tips.yaml"]


def test_publishing_a_directory_without_playbooks_retires_nothing_by_mistake(desk: Desk) -> None:
    path = desk.write("one")
    desk.apply()
    path.unlink()
    desk.apply(status=2)
    assert desk.rows("SELECT status FROM playbooks") == [{"status": "live"}]
    assert desk.apply("--allow-empty") == {"one": "retired"}


def test_two_thousand_playbooks_of_which_one_changed(desk: Desk) -> None:
    for number in range(2000):
        desk.write(f"playbook-{number}")
    assert len(desk.apply()) == 2000
    desk.write("playbook-7", "Other words")
    changed = {name for name, change in desk.apply().items() if change != "unchanged"}
    assert changed == {"playbook-7"}
    [row] = desk.rows("SELECT count(*) AS n FROM publications")
    assert row["n"] == 2001


# --- Who -------------------------------------------------------------------------------------------------------


def test_the_author_is_whoever_committed_a_file_or_works_on_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    git(desk.directory, "init")
    git(desk.directory, "config", "user.name", "Grace Hopper")
    git(desk.directory, "config", "user.email", "grace@example.com")
    desk.write("one")
    desk.write("two")
    git(desk.directory, "add", ".")
    git(desk.directory, "commit", "-m", "first", "--author", "Ada Lovelace <ada@example.com>")
    desk.write("two", "Other words")
    desk.write("three")
    desk.apply()
    assert {row["name"]: row["author"] for row in desk.rows("SELECT name, author FROM publications")} == {
        "one": "Ada Lovelace", "two": "Grace Hopper", "three": "Grace Hopper",
    }  # fmt: skip


def test_without_git_the_author_is_the_user_of_the_system(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "hedy")
    monkeypatch.setenv("PATH", "")
    desk.write("one")
    desk.apply()
    assert {row["author"] for row in desk.rows("SELECT author FROM publications")} == {"hedy"}


# --- Beforehand ------------------------------------------------------------------------------------------------


def test_a_plan_tells_what_would_change_and_changes_nothing(desk: Desk) -> None:
    desk.write("one")
    desk.write("two")
    desk.write("gone")
    desk.apply()
    before = (
        desk.rows("SELECT * FROM playbooks ORDER BY name"),
        desk.rows("SELECT count(*) FROM publications"),
    )
    text = desk.write("one").read_text()
    changed = text.replace("wait: 3d", "wait: 5d").replace(
        "event: {name: help_wanted}", "event: {name: help_wanted}\n    plan: pro"
    )
    (desk.directory / "one.yaml").write_text(changed + "  - id: more\n    sms: {text: Still here}\n")
    (desk.directory / "gone.yaml").unlink()
    (desk.directory / "bad.yaml").write_text("playbook: [\n")
    plan = desk.plan(status=1)
    found = {change["name"]: change for change in plan["changes"]}
    assert {name: change["change"] for name, change in found.items()} == {"one": "version", "gone": "retired"}
    told = [(one["what"], one["told"]) for one in found["one"]["differences"]]
    assert told == [
        ("trigger", "added: plan: pro"),
        ("steps", "rest (wait): length changed"),
        ("steps", "more (sms) is added"),
    ]
    assert (plan["unchanged"], plan["refused"]) == (["two"], ["bad.yaml"])
    assert plan["problems"][0]["code"]
    assert (
        desk.rows("SELECT * FROM playbooks ORDER BY name"),
        desk.rows("SELECT count(*) FROM publications"),
    ) == before
    assert desk.rows("SELECT * FROM file_problems") == []
    assert "more (sms) is added" in desk.holdfast("apply", "--dry-run", status=1)


def test_a_plan_counts_who_would_enter_and_what_that_means_for_channels_and_people(desk: Desk) -> None:
    consent = "consent: {email: assumed}\n"
    (desk.directory / "policy.yaml").write_text(consent)
    for name, csm in (("ada", "grace"), ("ben", "grace"), ("cai", "joan")):
        desk.tell(name, "help_wanted", first_name=name, email=f"{name}@example.com", csm=csm)
    desk.tell("dee", first_name="Dee", email="dee@example.com", csm="joan")
    desk.tell("eve", "help_wanted", first_name="Eve")
    path = desk.write("one")
    [change] = [change for change in desk.plan()["changes"] if change["name"] == "one"]
    # A call needs no address, so that Eve enters, too.
    assert change["entrants"] == {"entered": 4}
    assert sorted(one["customer"] for one in change["entering"]) == ["ada", "ben", "cai", "eve"]
    assert {"customer": "eve", "name": "Eve"} in change["entering"]
    assert change["load"] == {
        "first_day": {"email": 4},
        "whole_run": {"call": 4, "email": 4},
        "people": {"grace": 2, "joan": 1, "nobody": 1},
    }
    path.write_text(path.read_text().replace("  again:", "  at_most: 3 per day\n  again:"))
    [change] = [change for change in desk.plan("one")["changes"] if change["name"] == "one"]
    assert change["entrants"] == {"entered": 3, "waiting": 1}
    assert len(change["entering"]) == 3
    assert change["load"]["whole_run"] == {"call": 3, "email": 3}
    assert desk.rows("SELECT * FROM runs") == desk.rows("SELECT * FROM decisions") == []


@pytest.mark.parametrize(
    ("on_change", "lands"),
    [("finish", "finishes the old version"), ("stop", "stops"), ("migrate", "ring")],
)
def test_a_plan_tells_where_each_run_inside_lands(desk: Desk, on_change: str, lands: str) -> None:
    (desk.directory / "policy.yaml").write_text("consent: {email: assumed}\n")
    path = desk.write("one")
    desk.apply()
    for name in ("ada", "ben"):
        desk.tell(name, "help_wanted", first_name=name, email=f"{name}@example.com")
    desk.evaluate()
    desk.rows("UPDATE runs SET step = 'greet', state = 'running'")
    desk.rows(
        "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at) "
        "SELECT id, 'greet', 0, 'email', 'sent', now() FROM runs"
    )
    text = path.read_text().replace("  - id: rest\n    wait: 3d\n", "")
    path.write_text(text.replace("status: live", f"status: live\non_change: {on_change}"))
    [change] = desk.plan()["changes"]
    [landing] = change["inside"]["landings"]
    # A wait leaves no trace: who has sent the first message stands in it.
    step = "rest" if on_change == "migrate" else "greet"
    assert (landing["step"], landing["count"], landing["lands"]) == (step, 2, lands)
    assert change["inside"]["runs"] == 2
    assert "2 runs" in desk.holdfast("plan")


# --- Afterwards ------------------------------------------------------------------------------------------------


def test_versions_can_be_listed_compared_and_rolled_back(desk: Desk) -> None:
    first = desk.write("one", "First words").read_text()
    desk.apply()
    desk.write("one", "Second words")
    desk.apply()
    rows = [json.loads(line) for line in desk.holdfast("versions", "one", "--format", "json").splitlines()]
    assert [row["live"] for row in rows] == [True, False]
    second, original = (row["version"] for row in rows)
    diff = desk.holdfast("diff", "one", original[:6]).splitlines()
    assert '-      text: "First words"' in diff
    assert '+      text: "Second words"' in diff
    assert "live again" in desk.holdfast("rollback", "one", original[:6])
    assert desk.rows("SELECT version FROM playbooks") == [{"version": original}]
    assert (desk.directory / "one.yaml").read_text() == first
    [last] = desk.rows("SELECT kind, note, version FROM publications ORDER BY id DESC LIMIT 1")
    assert last == {
        "kind": "rollback",
        "note": f"rolled back to {original} from {second}",
        "version": original,
    }
    assert desk.apply() == {"one": "unchanged"}
    assert "live already" in desk.holdfast("rollback", "one", original)
    assert desk.holdfast("rollback", "one", "ffff", status=1) == ""
    assert desk.holdfast("versions", "two", status=1) == ""


def test_a_rollback_brings_back_the_templates_of_its_time_and_says_when_files_say_otherwise(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    template = desk.directory / "templates" / "tips.yaml"
    template.write_text(TEMPLATE.format(text="Old"))
    uses = desk.directory / "uses.yaml"
    uses.write_text(USES_TEMPLATE.format(name="uses", status="live", again="7d"))
    desk.apply()
    [before] = desk.rows("SELECT version, compiled FROM playbooks")
    template.write_text(TEMPLATE.format(text="New"))
    desk.apply()
    assert "+New" in desk.holdfast("diff", "uses", before["version"]).splitlines()
    assert run(["rollback", "uses", before["version"]]) == 0
    assert "templates/tips.yaml changed since" in capsys.readouterr().err
    [after] = desk.rows("SELECT version, compiled FROM playbooks")
    assert after["version"] == before["version"]
    assert after["compiled"]["templates"]["tips"]["email"]["text"] == "Old"
    assert template.read_text() == TEMPLATE.format(text="New")


def test_a_version_whose_text_means_nothing_any_more_is_not_rolled_back_to(desk: Desk) -> None:
    desk.write("one", "First words")
    desk.apply()
    [before] = desk.rows("SELECT version FROM playbooks")
    desk.write("one", "Second words")
    desk.apply()
    desk.rows("UPDATE publications SET source = replace(source, 'name: help_wanted', 'nome: help_wanted')")
    assert desk.holdfast("rollback", "one", before["version"], status=1) == ""
    [after] = desk.rows("SELECT version FROM playbooks")
    assert after["version"] != before["version"]


# --- Over HTTP -------------------------------------------------------------------------------------------------


def test_the_api_tells_what_is_live_what_it_was_and_what_is_wrong_and_rolls_back(desk: Desk) -> None:
    desk.write("one", "First words")
    desk.apply()
    desk.write("one", "Second words")
    (desk.directory / "bad.yaml").write_text("playbook: [\n")
    desk.apply(status=1)

    async def put_back(playbook: str, version: str, author: str, based_on: str | None) -> dict[str, Any]:
        database = Database(desk.url, connections=2)
        try:
            return vars(
                await roll_back(
                    database,
                    desk.directory,
                    load_catalogue(),
                    playbook,
                    version,
                    author=author,
                    based_on=based_on,
                )
            )
        finally:
            await database.close()

    async def ask() -> None:
        async with run_web(desk.url, roll_back=lambda *given: _plain(put_back(*given))) as web:

            async def get(path: str, status: int = 200) -> dict[str, Any]:
                answer = await web.client.get(path)
                assert answer.status_code == status, answer.text
                found: dict[str, Any] = answer.json()
                return found

            listed = await get("/api/playbooks")
            [one] = listed["playbooks"]
            assert one["lastPublication"]["note"].startswith("new version")
            assert [file["file"] for file in listed["fileProblems"]] == ["bad.yaml"]
            assert (await get("/api/playbooks/problems"))["files"][0]["problems"][0]["line"] >= 1
            found = await get("/api/playbooks/one/versions")
            assert [version["live"] for version in found["versions"]] == [True, False]
            assert len(found["publications"]) == 2
            first = found["versions"][1]["version"]
            compared = await get(f"/api/playbooks/one/diff?from={first[:5]}")
            assert '+      text: "Second words"' in compared["lines"]
            assert compared["differences"] == [{"what": "steps", "told": "greet (email): text changed"}]
            await get("/api/playbooks/two/versions", 404)
            await get("/api/playbooks/one/diff?from=beef", 404)
            answer = await web.client.post(
                "/api/playbooks/one/rollback", json={"version": first, "by": "joan"}
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["version"] == first
            [row] = (await get("/api/playbooks"))["playbooks"]
            assert (row["version"], row["lastPublication"]["author"]) == (first, "joan")
            page = await web.client.get("/playbooks", headers={"accept": "text/html"})
            assert "joan: rolled back" in page.text
            assert "bad.yaml" in page.text

    asyncio.run(ask())
    assert "First words" in (desk.directory / "one.yaml").read_text()


async def _plain(done: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """As the web process answers it."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in (await done).items()}
