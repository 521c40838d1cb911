"""Playbooks that are edited while runs are inside: what becomes of those, and of files that can't be used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.migrating import Migrating
from activities.steps import StepOpening
from activities.versions import Versions
from loops.watching import Watcher
from schemas.catalogue import load_catalogue
from schemas.plan import CompiledPlaybook, Elapsed, Goal, Split, Variant, Wait, WaitFor
from schemas.plan import EventMatch as Event
from schemas.run import MigrateCall
from tests.deadlines import end
from tests.integration.plans import DAY, ada, call, email, playbook
from tests.integration.running_engine import House

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"


def pause(step: str = "pause", seconds: int = DAY) -> Wait:
    return Wait(id=step, spec=Elapsed(seconds=seconds))


async def begin(house: House, made: CompiledPlaybook) -> Mapping[str, Any]:
    """Ada's run of this playbook, once it has sent its first message."""
    await house.engine.publish(made)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'greet' AND outcome = 'sent'")
    [run] = await house.engine.rows("SELECT * FROM runs")
    return run


def subjects(house: House) -> list[str]:
    return [str(mail.message["Subject"]).removeprefix("About ") for mail in house.smtp.accepted]


async def test_a_run_finishes_the_version_it_entered_with(house: House) -> None:
    before = playbook(email("greet"), pause(seconds=2), email("old"))
    await begin(house, before)
    after = playbook(email("greet"), pause(seconds=2), email("new"))
    await house.engine.publish(after)
    [run] = await house.engine.until(ENDED)
    assert (run["version"], run["outcome"]) == (before.version, "completed")
    assert subjects(house) == ["greet", "old"]


async def test_on_change_stop_ends_those_inside_and_takes_their_calls_off_the_list(house: House) -> None:
    await begin(house, playbook(email("greet"), call("ring"), email("old")))
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
    await house.engine.publish(playbook(email("greet"), email("new"), on_change="stop"))
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("stopped", "the playbook changed")
    assert [row["state"] for row in await house.engine.rows("SELECT state FROM tasks")] == ["cancelled"]
    assert subjects(house) == ["greet"]


async def test_on_change_migrate_takes_those_inside_to_the_new_version(house: House) -> None:
    goal = Goal(name="back", event=Event(name="login"), within_seconds=9 * DAY)
    run = await begin(house, playbook(email("greet"), pause(), email("old")))
    after = playbook(
        email("before"), email("greet", text="Other words"), pause(seconds=1), email("new"), on_change="migrate",
        goal=goal,
    )  # fmt: skip
    await house.engine.publish(after)
    # The wait began when it began, and is only a second long now.
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'new' AND outcome = 'sent'")
    [moved] = await house.engine.rows("SELECT * FROM runs")
    assert moved["version"] == after.version != run["version"]
    assert (moved["goal_by"] - moved["entered_at"]).days == 9
    assert subjects(house) == ["greet", "new"]
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])
    described = await handle.describe()
    assert described.search_attributes["PlaybookVersion"] == [after.version]
    # It goes by the new version's goal, too.
    await house.engine.send("ada", "login")
    [ended] = await house.engine.until(ENDED)
    assert ended["outcome"] == "success"


async def test_a_run_without_a_place_in_the_new_version_finishes_the_old_one(house: House) -> None:
    def split(**arms: tuple[Any, ...]) -> Split:
        return Split(
            id="x",
            experiment="x",
            variants={name: Variant(weight=1, steps=steps) for name, steps in arms.items()},
        )

    before = playbook(email("greet"), split(a=(pause(seconds=3), email("old"))))
    await begin(house, before)
    await house.engine.publish(playbook(email("greet"), email("new"), on_change="migrate"))
    [run] = await house.engine.until(ENDED)
    assert (run["version"], run["outcome"]) == (before.version, "completed")
    assert subjects(house) == ["greet", "old"]


async def test_a_run_keeps_its_arms_gets_those_of_new_experiments_and_asking_twice_changes_nothing(
    house: House,
) -> None:
    def split(name: str, *arms: str) -> Split:
        return Split(
            id=name, experiment=name, variants={arm: Variant(weight=1, steps=(email(arm),)) for arm in arms}
        )

    before = playbook(email("greet"), split("old", "left", "right"), pause())
    run = await begin(house, before)
    await house.engine.until("SELECT 1 FROM run_steps WHERE step IN ('left', 'right')")
    after = playbook(
        email("greet"),
        split("old", "right", "left", "third"),
        pause(),
        split("new", "up", "down"),
        on_change="migrate",
    )
    await house.engine.publish(after)
    [moved] = await house.engine.until("SELECT * FROM runs WHERE version = :new", new=after.version)
    assert moved["variants"]["old"] == run["variants"]["old"]
    assert moved["variants"]["new"] in ("up", "down")
    exposures = await house.engine.rows("SELECT experiment, variant FROM exposures ORDER BY experiment")
    assert exposures == [
        {"experiment": f"helping/{name}", "variant": moved["variants"][name]} for name in ("new", "old")
    ]
    asked = MigrateCall(
        run_id=str(run["id"]),
        execution_id=moved["execution_id"],
        from_version=before.version,
        to_version=after.version,
        done={"greet": "sent"},
        since={"greet": moved["entered_at"], "pause": moved["entered_at"]},
    )
    opening = StepOpening(house.engine.database, load_catalogue(), Versions())
    first, second = [await Migrating(opening).migrate(asked) for _ in range(2)]
    assert first == second
    assert first.steps == after.steps
    [now] = await house.engine.rows("SELECT * FROM runs")
    assert now == moved
    refused = await Migrating(opening).migrate(asked.model_copy(update={"execution_id": "another"}))
    assert refused.steps is None


async def test_a_call_that_the_new_version_has_no_more_leaves_the_list(house: House) -> None:
    await begin(house, playbook(email("greet"), call("ring"), email("later")))
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
    await house.engine.publish(playbook(email("greet"), email("later"), on_change="migrate"))
    await house.engine.until(ENDED)
    assert [row["state"] for row in await house.engine.rows("SELECT state FROM tasks")] == ["cancelled"]
    assert subjects(house) == ["greet", "later"]


async def test_what_a_migrated_run_listened_for_and_is_gone_is_listened_for_no_more(house: House) -> None:
    def waiting(step: str) -> WaitFor:
        return WaitFor(id=step, event=Event(name="login"), for_seconds=DAY, then=(email(f"after-{step}"),))

    await begin(house, playbook(email("greet"), waiting("first"), waiting("second"), email("last")))
    await house.engine.until("SELECT 1 FROM waits WHERE step = 'first'")
    await house.engine.publish(
        playbook(email("greet"), waiting("second"), email("last"), on_change="migrate"),
    )
    await house.engine.until("SELECT 1 FROM waits WHERE step = 'second'")
    assert [row["step"] for row in await house.engine.rows("SELECT step FROM waits")] == ["second"]
    await house.engine.send("ada", "login")
    await house.engine.until(ENDED)
    assert subjects(house) == ["greet", "after-second", "last"]


async def test_while_a_playbook_is_paused_nobody_enters_and_those_inside_stand_still_until_it_goes_on(
    house: House,
) -> None:
    made = playbook(email("greet"), pause(seconds=5), email("later"))
    run = await begin(house, made)
    [greeted] = await house.engine.rows("SELECT at FROM run_steps WHERE step = 'greet'")
    await house.engine.publish(made.model_copy(update={"status": "paused"}))
    await house.engine.until("SELECT 1 FROM runs WHERE paused")
    await house.engine.identify("ben", first_name="Ben", email="ben@example.com", timezone="UTC")
    await house.engine.send("ben", "help_wanted")
    [decision] = await house.engine.until("SELECT reason FROM decisions WHERE reason <> 'entered'")
    assert decision["reason"] == "paused"
    # The pause ends meanwhile.
    await asyncio.sleep(
        max(0.0, (greeted["at"] + timedelta(seconds=5.7) - datetime.now(UTC)).total_seconds())
    )
    assert subjects(house) == ["greet"]
    await house.engine.publish(made)
    ended, of_ben = await house.engine.until(
        f"{ENDED} ORDER BY entered_at", holds=lambda rows: len(rows) == 2
    )
    assert (ended["id"], ended["outcome"]) == (run["id"], "completed")
    # Ben still fulfils the trigger, so he isn't lost.
    assert of_ben["outcome"] == "completed"
    assert sorted(subjects(house)) == ["greet", "greet", "later", "later"]


async def test_a_shadow_ends_when_its_playbook_goes_live(house: House) -> None:
    made = playbook(email("greet"), pause(), email("later"))
    await house.engine.publish(made.model_copy(update={"status": "shadow"}))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM runs WHERE arm = 'shadow' AND state = 'running'")
    await house.engine.publish(made)
    [shadow] = await house.engine.until(ENDED)
    assert (shadow["arm"], shadow["outcome"], shadow["reason"]) == (
        "shadow",
        "stopped",
        "the playbook went live",
    )
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(
        "SELECT 1 FROM run_steps s JOIN runs r ON r.id = s.run_id WHERE r.arm = 'treated'"
    )


async def test_runs_of_a_retired_playbook_finish(house: House) -> None:
    await begin(house, playbook(email("greet"), pause(seconds=2), email("later")))
    await house.engine.publish()
    [row] = await house.engine.rows("SELECT status FROM playbooks")
    assert row["status"] == "retired"
    [run] = await house.engine.until(ENDED)
    assert run["outcome"] == "completed"
    assert subjects(house) == ["greet", "later"]


async def test_a_file_that_says_paused_and_then_live_again_holds_those_inside_meanwhile(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "playbooks" / "helping.yaml"
    file.parent.mkdir()
    (file.parent / "policy.yaml").write_text("consent: {email: assumed}\n")
    file.write_text(FILE)
    watcher = Watcher(house.engine.database, file.parent, load_catalogue(), lambda lines: None)
    await watcher.publish_all()
    watching = asyncio.create_task(watcher.run())
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'greet' AND outcome = 'sent'")
    file.write_text(FILE.replace("status: live", "status: paused"))
    await house.engine.until("SELECT 1 FROM runs WHERE paused")
    # A file with errors doesn't let anybody go on.
    file.write_text(FILE.replace("status: live", "status: lively"))
    await house.engine.until("SELECT 1 FROM file_problems")
    [run] = await house.engine.rows("SELECT paused, ended_at FROM runs")
    assert run == {"paused": True, "ended_at": None}
    await house.engine.send("ada", "login")
    file.write_text(FILE)
    await house.engine.until(ENDED)
    assert subjects(house) == ["greet", "later"]
    await end(watching)


FILE = """\
playbook: helping
title: Helping
owner: cs
status: live
enter:
  when:
    event: {name: help_wanted}
steps:
  - {id: greet, email: {subject: About greet, text: Hello}}
  - {id: pause, wait_for: {event: {name: login}, for: 1h}}
  - {id: later, email: {subject: About later, text: Hello again}}
"""
