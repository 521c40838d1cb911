"""A file of playbooks that somebody edits from afar: as it was opened, what is wrong with it, what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.errors import ConflictError, Problem
from schemas.plan import CompiledPlaybook


class EditedMeanwhileError(ConflictError):
    """Somebody else changed this since it was opened."""

    code = "HF330"
    remedy = "Look at the difference, take over what is meant, and publish again."

    def __init__(self, message: str, lines: Sequence[str], based_on: str) -> None:
        super().__init__(message)
        self.lines = lines
        self.based_on = based_on


@dataclass(frozen=True)
class Checked:
    """What a text comes to as a file: its problems, and the playbook that it means, if it is a good one."""

    problems: Sequence[Problem]
    playbook: CompiledPlaybook | None = None

    @property
    def errors(self) -> list[Problem]:
        """Those for which it can't be published."""
        return [problem for problem in self.problems if problem.severity == "error"]


@dataclass(frozen=True)
class Opened:
    """A file as it is now, with lines that end in a line feed.

    `based_on` changes whenever the file or what is live does. `exists`: it lies in this process's directory.
    `unpublished`: it says something else than what is live. The author of its last publication, and when that was, are
    empty and None where there is none.
    """

    file: str
    text: str
    based_on: str
    exists: bool
    unpublished: bool
    author: str = ""
    published_at: datetime | None = None


@dataclass(frozen=True)
class PublishedDraft:
    """What publishing a text changed, in words by the name of what changed, and where it was written; `kept` says why
    it was written nowhere.
    """

    changes: Sequence[tuple[str, str]]
    written: str | None
    kept: str
