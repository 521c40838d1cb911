"""Playbooks written as their authors write them, played on the simulator's clock: one server for a whole module."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.registry import find_step_types
from loops.simulation.checking import format_offset
from loops.simulation.happening import Happening, parse_happening
from loops.simulation.run import Line
from loops.simulation.simulator import Case, Simulator
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.facts_json import parse_facts
from schemas.language import Language
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.policy_file import read_policy
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml, read_yaml

START = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday, ten o'clock in Berlin
LANGUAGE = Language(load_catalogue(), find_step_types())
POLICY = "default_zone: Europe/Berlin\nconsent: {email: assumed, sms: assumed}\n"
ANN = {
    "first_name": "Ann",
    "email": "ann@example.com",
    "phone": "+4915112345678",
    "timezone": "Europe/Berlin",
}
UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
TEMPLATES = {
    "tips": MessageTemplate(
        "tips",
        {
            "email": {"subject": "Tips", "text": "Some."},
            "sms": {"text": "Some."},
            "in_app": {"title": "Tips", "text": "Some."},
        },
    )
}


def read(text: str, *, status: str = "draft") -> CompiledPlaybook:
    """The playbook that `text` says, whose name, title and owner don't matter here."""
    source = load_yaml(f"playbook: p\ntitle: P\nowner: cs\nstatus: {status}\n{text}\n", "p.yaml")
    compiled = compile_playbook(source, LANGUAGE, TEMPLATES)
    assert compiled.playbook is not None, [str(problem) for problem in compiled.problems]
    return compiled.playbook


def govern(text: str) -> Policy:
    """The policy that `text` says."""
    source, problems = read_yaml(text, "policy.yaml")
    assert source is not None
    policy, problems = read_policy(source, LANGUAGE, problems)
    assert policy is not None, [str(problem) for problem in problems]
    return policy


def span(text: str) -> timedelta:
    """3d, 1d12h, 0m, as timelines tell it."""
    return timedelta(**{UNITS[unit]: int(number) for number, unit in re.findall(r"(\d+)([wdhms])", text)})


def on(after: str, **what: Any) -> dict[str, Any]:
    """Something that happens so long after the start; before it where it begins with a minus."""
    return {"after": -span(after[1:]) if after.startswith("-") else span(after), **what}


@dataclass(frozen=True)
class Told:
    """A timeline; times are told as spans from the start."""

    lines: Sequence[Line]
    start: datetime

    def of(self, *kinds: str) -> list[tuple[str, str, str]]:
        """(after, step, outcome) of the lines of these kinds, or of all but the end."""
        return [
            (self._when(line), str(line["step"]), str(line["outcome"]))
            for line in self.lines
            if "run" not in line and (not kinds or line["kind"] in kinds)
        ]

    @property
    def sent(self) -> list[tuple[str, str]]:
        """(after, step) of the messages that left."""
        kinds = ("email", "sms", "in_app", "message", "whatsapp", "push")
        return [(after, step) for after, step, outcome in self.of(*kinds) if outcome == "sent"]

    @property
    def end(self) -> tuple[str, str]:
        """(after, outcome) of the run."""
        return self._when(self.lines[-1]), str(self.lines[-1]["outcome"])

    @property
    def reason(self) -> str:
        """Why it ended."""
        return str(self.lines[-1]["reason"])

    def _when(self, line: Line) -> str:
        return format_offset(line["at"] - self.start)


@dataclass
class Theatre:
    """Where they are played."""

    simulator: Simulator

    async def play(
        self,
        text: str | CompiledPlaybook,
        *happens: Mapping[str, Any],
        start: datetime = START,
        policy: str = POLICY,
        sent: Sequence[tuple[str, str]] = (),
        **facts: Any,
    ) -> Told:
        """Play `text` for Ann; `sent` are messages (channel, how long ago) before."""
        happenings: list[Happening] = []
        for what in happens:
            at = (start + what["after"]).isoformat()
            happenings.append(parse_happening({"at": at, **{k: v for k, v in what.items() if k != "after"}}))
        document = {"customer": "ann", "now": start.isoformat(), "profile": ANN, **facts}
        case = Case(
            playbook=text if isinstance(text, CompiledPlaybook) else read(text),
            facts=parse_facts(document, LANGUAGE.catalogue, now=start),
            happenings=happenings,
            sends=[(channel, start - span(ago)) for channel, ago in sent],
            policy=govern(policy),
            playbooks={},
        )
        [lines] = await self.simulator.play_many([case])
        return Told(lines, start)


@asynccontextmanager
async def open_theatre() -> AsyncIterator[Theatre]:
    """The theatre; its server ends with it."""
    async with Simulator(policy=Policy(), step_types=find_step_types()) as simulator:
        yield Theatre(simulator)
