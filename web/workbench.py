"""What the editor of playbooks works with, given by whoever starts the web process: this room runs nothing itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from schemas.access import Principal
from schemas.draft import Checked, Opened, PublishedDraft

Kind = Literal["playbook", "policy", "milestones", "template", "health"]
# Files beside the playbooks that are none.
_BESIDE: Mapping[str, Kind] = {"policy.yaml": "policy", "milestones.yaml": "milestones"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Draft:
    """A text that may become the file of that name: NAME.yaml, policy.yaml, milestones.yaml, templates/NAME.yaml,
    health/NAME.yaml.
    """

    file: str
    text: str = field(repr=False)

    @property
    def kind(self) -> Kind:
        """What kind of file it is."""
        return kind_of(self.file)

    @property
    def name(self) -> str:
        """Its name without directory and ending."""
        return self.file.rpartition("/")[2].removesuffix(".yaml")


@dataclass(frozen=True)
class Trial:
    """Whom a playbook is tried out with: facts and events as `holdfast simulate` reads them; from `start` on."""

    facts: str = field(repr=False)
    events: str = field(default="", repr=False)
    start: datetime | None = None


@dataclass(frozen=True)
class Period:
    """The past that a playbook is played over: days, the last one included; at most so many customers."""

    first: str
    last: str
    customers: int
    churn_within: str = "60d"
    as_happened: bool = False


@dataclass(frozen=True)
class Workbench:
    """The editor's tools. All take the whole directory of playbooks as context; none but `publish` changes anything.

    check: every problem, as `holdfast validate` tells them. open: the file as it is. begin: the text that a new
    playbook of that name starts from. list_files: what lies there. facts_of: a customer's facts for a draft, as JSON;
    sample: those of nobody. simulate, plan, backtest: what those commands print. publish: by whom, with a note, and
    what the text was based on. Their errors are those of `schemas.errors` and `schemas.draft`.
    """

    schemas: Mapping[Kind, Mapping[str, Any]]
    check: Callable[[Draft], Awaitable[Checked]]
    open: Callable[[str], Awaitable[Opened]]
    begin: Callable[[str], str]
    list_files: Callable[[], Sequence[str]]
    facts_of: Callable[[str, Draft], Awaitable[str]]
    sample: Callable[[Draft], str]
    simulate: Callable[[Draft, Trial], Awaitable[Sequence[Mapping[str, Any]]]]
    plan: Callable[[Draft], Awaitable[Mapping[str, Any]]]
    backtest: Callable[[Draft, Period, Say], Awaitable[Mapping[str, Any]]]
    publish: Callable[[Draft, Principal, str, str], Awaitable[PublishedDraft]]


def kind_of(file: str) -> Kind:
    """What kind of file this is."""
    home, _, name = file.rpartition("/")
    if home:
        return "template" if home == "templates" else "health"
    return _BESIDE.get(name, "playbook")
