"""The tools of the editor in the browser, put together for the web process."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from cli.drafts import PLAYBOOK, fill
from cli.schema import build_schemas
from loops.drafting import check_draft, open_file, publish_draft
from loops.tooling import Finished, run_tool
from loops.trial_facts import customer_facts, sample_facts, write_facts
from loops.workspace import lay_out
from schemas.access import Principal
from schemas.catalogue import Catalogue
from schemas.compiled_cache import open_cache
from schemas.draft import Checked, Opened, PublishedDraft
from schemas.errors import InputError, PlaybookError
from schemas.settings import Settings
from store.database import Database
from web.workbench import Draft, Kind, Period, Say, Trial, Workbench

# Checks come at every pause in somebody's typing, the others now and then and take a processor each.
CHECKS_AT_ONCE, TOOLS_AT_ONCE, BACKTESTS_AT_ONCE = 2, 2, 1
SIMULATION_SECONDS, PLAN_SECONDS, BACKTEST_SECONDS = 90, 900, 4 * 3600
_KINDS: Mapping[Kind, str] = {
    "playbook": "playbook.schema.json", "policy": "policy.schema.json", "template": "template.schema.json",
    "health": "health.schema.json", "milestones": "milestones.schema.json",
}  # fmt: skip


def make_workbench(settings: Settings, database: Database, catalogue: Catalogue) -> Workbench:
    """The workbench for the directory of playbooks that `settings` name. Call it inside a running event loop."""
    return _Bench(settings, database, catalogue).tools()


@cache
def _editor_schemas() -> Mapping[Kind, Mapping[str, Any]]:
    schemas = build_schemas()
    return {kind: schemas[name] for kind, name in _KINDS.items()}


class _Bench:
    def __init__(self, settings: Settings, database: Database, catalogue: Catalogue) -> None:
        self._directory = settings.playbooks
        self._environ = {**settings.environ, "HOLDFAST_DATABASE_URL": settings.require_database_url()}
        self._database, self._catalogue = database, catalogue
        self._cache = open_cache(settings.environ)
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._tools = asyncio.Semaphore(TOOLS_AT_ONCE)
        self._backtests = asyncio.Semaphore(BACKTESTS_AT_ONCE)

    def tools(self) -> Workbench:
        return Workbench(
            schemas=_editor_schemas(),
            check=self.check,
            open=self.open,
            begin=self.begin,
            list_files=self.list_files,
            facts_of=self.facts_of,
            sample=self.sample,
            simulate=self.simulate,
            plan=self.plan,
            backtest=self.backtest,
            publish=self.publish,
        )

    async def check(self, draft: Draft) -> Checked:
        async with self._checks:
            return await asyncio.to_thread(
                check_draft, self._directory, self._catalogue, draft.file, draft.text, self._cache
            )

    async def open(self, file: str) -> Opened:
        return await open_file(self._database, self._directory, file)

    def begin(self, name: str) -> str:
        schemas = Path(__file__).resolve().parent.parent / "schemas"
        there = os.path.relpath(schemas, self._directory.resolve())
        return fill(PLAYBOOK, schemas=Path(there).as_posix(), name=name, tests=f"tests/{name}.yaml")

    def list_files(self) -> Sequence[str]:
        homes = ("", "templates/", "health/")
        return [
            f"{home}{path.name}"
            for home in homes
            for path in sorted((self._directory / home).glob("*.yaml"))
            if not path.name.startswith(".")
        ]

    async def facts_of(self, user_id: str, draft: Draft) -> str:
        playbook = (await self.check(draft)).playbook
        return write_facts(await customer_facts(self._database, self._catalogue, user_id, playbook))

    def sample(self, draft: Draft) -> str:
        return write_facts(sample_facts(self._directory, draft.name))

    async def simulate(self, draft: Draft, trial: Trial) -> Sequence[Mapping[str, Any]]:
        await self._refuse_errors(draft)
        with tempfile.TemporaryDirectory(prefix="holdfast-trial-") as there:
            arguments = ["--facts", "-"]
            if trial.events.strip():
                events = Path(there) / "events.jsonl"
                events.write_text(trial.events, encoding="utf-8", errors="replace")
                arguments += ["--events", str(events)]
            if trial.start is not None:
                # Where no zone is named it is UTC, whatever this machine's is.
                start = trial.start if trial.start.tzinfo else trial.start.replace(tzinfo=UTC)
                arguments += ["--start", start.isoformat()]
            done = await self._carry_out(
                "simulate", draft, arguments, given=trial.facts.encode("utf-8", "replace"),
                patience_seconds=SIMULATION_SECONDS, names={f"{there}/events.jsonl": "events"},
            )  # fmt: skip
        return [json.loads(line) for line in done.printed.splitlines()]

    async def plan(self, draft: Draft) -> Mapping[str, Any]:
        await self._refuse_errors(draft)
        with lay_out(self._directory, draft.file, draft.text) as space:
            async with self._tools:
                done = await run_tool(
                    ["plan", str(space / draft.file), "--format", "json"],
                    self._environ,
                    patience_seconds=PLAN_SECONDS,
                )
            printed = done.printed.decode().replace(str(space), str(self._directory))
        if not printed:
            raise _refusal(done, {})
        plan: dict[str, Any] = json.loads(printed)
        return plan

    async def backtest(self, draft: Draft, period: Period, say: Say) -> Mapping[str, Any]:
        await self._refuse_errors(draft)
        arguments = [
            "--from", period.first, "--to", period.last, "--customers", str(period.customers),
            "--churn-within", period.churn_within, "--format", "json",
        ]  # fmt: skip
        if period.as_happened:
            arguments.append("--as-happened")
        async with self._backtests:
            done = await self._carry_out(
                "backtest", draft, arguments, say=say, patience_seconds=BACKTEST_SECONDS, waits=False
            )
        result: dict[str, Any] = json.loads(done.printed)
        return result

    async def publish(self, draft: Draft, actor: Principal, note: str, based_on: str) -> PublishedDraft:
        return await publish_draft(
            self._database, self._directory, self._catalogue, draft.file, draft.text,
            based_on=based_on, note=note, actor=actor,
        )  # fmt: skip

    async def _refuse_errors(self, draft: Draft) -> None:
        errors = (await self.check(draft)).errors
        if errors:
            raise PlaybookError(errors)

    async def _carry_out(
        self,
        command: str,
        draft: Draft,
        arguments: Sequence[str],
        *,
        given: bytes = b"",
        say: Callable[[str], None] = lambda line: None,
        patience_seconds: float,
        names: Mapping[str, str] | None = None,
        waits: bool = True,
    ) -> Finished:
        """Run the command on the draft's playbook. Raises InputError with what it said where it fails."""
        async with self._tools if waits else asyncio.Lock():
            with lay_out(self._directory, draft.file, draft.text) as space:
                done = await run_tool(
                    [command, draft.name, "--playbooks", str(space), *arguments], self._environ,
                    given=given, say=say, patience_seconds=patience_seconds,
                )  # fmt: skip
                if done.status != 0:
                    raise _refusal(done, {str(space): str(self._directory), **(names or {})})
        return done


def _refusal(done: Finished, names: Mapping[str, str]) -> InputError:
    """What a command says when it can't do what was asked, without the help that a terminal needs."""
    told = "\n".join(line for line in done.said[-8:] if line and not line.startswith(("Usage:", "Try '")))
    for written, name in names.items():
        told = told.replace(written, name)
    told = told.removeprefix("Error: ").removeprefix("holdfast: ").removeprefix("-: ").strip()
    return InputError(told[:2000] or "The command failed without a word.", remedy="Correct it and try again.")
