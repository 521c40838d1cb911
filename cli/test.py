"""`holdfast test`: whether playbooks do what the tests beside them expect."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from loops.simulation.checking import Difference, describe_expectation, describe_line
from loops.simulation.trials import Trial, collect, find_test_files, run_trials
from loops.simulation.wording import plain_line
from schemas.errors import SettingError


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json prints one object per test and line.",
)  # fmt: skip
@click.option("--only", default="", metavar="TEXT", help="Only tests whose playbook and name contain this.")
@click.option(
    "--playbooks", "directory", type=click.Path(path_type=Path), default=Path("playbooks"), show_default=True,
    metavar="DIR", help="The directory of the playbooks; their tests are in its `tests`.",
)  # fmt: skip
@click.pass_context
def command(context: click.Context, paths: tuple[Path, ...], form: str, only: str, directory: Path) -> None:
    """Play the tests of playbooks on a virtual clock, and compare what happens with what they expect.

    A PATH is a file, a directory, or the name of a playbook. Exits with 1 where a test fails or can't be read.

    \b
    Examples:
      holdfast test
      holdfast test rescue-declining-supplier
      holdfast test --only "nobody answers"
    """
    try:
        files = find_test_files(paths, directory)
        collected = collect(files, directory)
    except SettingError as error:
        click.echo(f"holdfast test: {error.message} {error.remedy}", err=True)
        context.exit(2)
    for problem in collected.problems:
        click.echo(json.dumps(problem.to_json(), ensure_ascii=False) if form == "json" else str(problem))
    trials = asyncio.run(run_trials(collected, only=only))
    for trial in trials:
        if form == "json":
            click.echo(json.dumps(_as_json(trial), ensure_ascii=False))
        elif not trial.passed:
            click.echo(_describe(trial))
    failed = sum(not trial.passed for trial in trials)
    errors = sum(problem.severity == "error" for problem in collected.problems)
    click.echo(_summarise(len(trials), failed, errors), err=True)
    context.exit(1 if failed or errors else 0)


def _describe(trial: Trial) -> str:
    told = [f"FAILED {trial.file}:{trial.test.line}: {trial.playbook}: {trial.test.name}"]
    told += [f"    {sentence}" for sentence in trial.broken]
    if any(row.mark != "same" for row in trial.differences):
        told.append("    - expected, + came; times count from the start")
        told += [line for row in trial.differences for line in _rows(row, trial)]
    elif trial.broken and trial.timeline:
        told += [f"      {describe_line(line, trial.test.start)}" for line in trial.timeline]
    return "\n".join(told)


def _rows(row: Difference, trial: Trial) -> list[str]:
    start = trial.test.start
    got = describe_line(row.got, start) if row.got else ""
    expected = describe_expectation(row.expected, start) if row.expected else ""
    match row.mark:
        case "missing":
            assert row.expected is not None
            return [f"    - {expected}    (line {row.expected.line})"]
        case "different":
            assert row.expected is not None
            return [
                f"    - {expected}    (line {row.expected.line})",
                f"    + {got}",
                f"      ({row.because})",
            ]
    return [f"    {'+' if row.mark == 'unexpected' else ' '} {got}"]


def _as_json(trial: Trial) -> dict[str, Any]:
    start = trial.test.start
    return {
        "file": trial.file,
        "line": trial.test.line,
        "playbook": trial.playbook,
        "test": trial.test.name,
        "passed": trial.passed,
        "broken": list(trial.broken),
        "differences": [
            {
                "difference": row.mark,
                "line": row.expected.line if row.expected else None,
                "expected": describe_expectation(row.expected, start).strip() if row.expected else None,
                "got": plain_line(row.got) if row.got else None,
                "because": row.because,
            }
            for row in trial.differences
            if row.mark != "same"
        ],
    }


def _summarise(count: int, failed: int, errors: int) -> str:
    if not count and not errors:
        return "There are no tests here."
    told = [f"{count} test{'' if count == 1 else 's'}: {count - failed} passed"]
    if failed:
        told.append(f"{failed} failed")
    if errors:
        told.append(f"{errors} error{'' if errors == 1 else 's'} in the files")
    return ", ".join(told) + "."
