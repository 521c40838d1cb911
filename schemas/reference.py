"""Playbooks and teams that a playbook names (`start: NAME`, `assign: {team: NAME}`), and whether they exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.errors import Problem
from schemas.problem import did_you_mean


@dataclass(frozen=True)
class Named:
    """A step's naming of a playbook or a team, and where in the file it stands; lines and columns count from 1."""

    name: str
    path: str
    line: int
    column: int
    kind: Literal["playbook", "team"] = "playbook"


def check_playbook_names(
    file: str, playbook: str, named: Iterable[Named], known: Collection[str]
) -> list[Problem]:
    """What is wrong with the playbooks that `playbook` (in `file`) names.

    known: the names of all playbook files beside it, also of those with errors. A name that isn't among them is an
        error; that a playbook starts itself is a warning.
    """
    problems = []
    for item in named:
        if item.kind != "playbook":
            continue
        if item.name == playbook:
            what = "The playbook starts itself."
            hint = "A customer has one run of a playbook at a time, so that this enters nobody; use `repeat`."
            problems.append(
                Problem(file, item.line, item.column, "PB239", item.path, what, hint, severity="warning")
            )
        elif item.name not in known:
            what = f"There is no playbook `{item.name}` beside this one."
            others = sorted(name for name in known if name != playbook)
            hint = did_you_mean(item.name, others, otherwise=f"Write playbooks/{item.name}.yaml.")
            problems.append(Problem(file, item.line, item.column, "PB238", item.path, what, hint))
    return problems


def check_team_names(file: str, named: Iterable[Named], teams: Collection[str]) -> list[Problem]:
    """What is wrong with the teams that a playbook (in `file`) names; `teams` are those of its policy."""
    return [
        Problem(
            file, item.line, item.column, "PB244", item.path, f"The policy has no team `{item.name}`.",
            did_you_mean(
                item.name, teams, otherwise=f"Add it to policy.yaml: teams: {{{item.name}: {{members: […]}}}}."
            ),
        )
        for item in named
        if item.kind == "team" and item.name not in teams
    ]  # fmt: skip
