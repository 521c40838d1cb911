"""Every error that Holdfast raises on purpose, in one tree.

HoldfastError
├── InputError          what somebody gave us can't be used
│   ├── PlaybookError       a playbook, template, policy or catalogue file
│   ├── EventError          an event on the wire
│   └── SettingError        the environment or a command's arguments
├── NotFoundError       what was asked for isn't there
├── ConflictError       it is there, but its state forbids this
└── UnavailableError    a part of the system can't be reached now

The docstring of a class is its default message, `code` is stable and safe to match on, and `remedy`
tells the reader what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


class HoldfastError(Exception):
    """Holdfast could not do this."""

    code = "HF000"
    remedy = "Look at the message; `holdfast doctor` checks every part of the system."

    def __init__(
        self, message: str | None = None, *, remedy: str | None = None, code: str | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        if remedy is not None:
            self.remedy = remedy
        if code is not None:
            self.code = code
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] {self.remedy}".rstrip()


class InputError(HoldfastError):
    """What was given can't be used."""

    code = "HF100"
    remedy = "Correct the input and try again."


class EventError(InputError):
    """This event can't be stored."""

    code = "HF110"
    remedy = "Correct the event at its sender; the copy in the dead letters shows what arrived."


class SettingError(InputError):
    """A setting is missing or wrong."""

    code = "HF120"
    remedy = "Set it in the environment; `holdfast doctor` names each setting."


class NotFoundError(HoldfastError):
    """There is no such thing."""

    code = "HF200"
    remedy = "Check the name or id."


class ConflictError(HoldfastError):
    """Its present state doesn't allow this."""

    code = "HF300"
    remedy = "Look at its state first."


class UnavailableError(HoldfastError):
    """A part of the system can't be reached."""

    code = "HF400"
    remedy = "`holdfast doctor` says which part and what to do."


@dataclass(frozen=True)
class Problem:
    """One fault in one file, at the word at fault; lines and columns count from 1."""

    file: str
    line: int
    column: int
    code: str
    path: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def to_json(self) -> dict[str, Any]:
        """The object that `validate --format json` prints."""
        return {
            "file": self.file, "line": self.line, "column": self.column, "severity": self.severity,
            "code": self.code, "path": self.path, "message": self.message, "hint": self.hint,
        }  # fmt: skip

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        where = f" {self.path}:" if self.path else ""
        return (
            f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}{where} {self.message}{hint}"
        )


class PlaybookError(InputError):
    """A playbook file can't be used."""

    code = "HF130"
    remedy = "`holdfast validate` lists every problem with its line."

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems) or None)
