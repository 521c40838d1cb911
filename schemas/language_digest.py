"""The digest of everything but a file itself that decides what the file is compiled to."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from schemas.catalogue import Catalogue
from schemas.step_type import StepType, StepTypes

# What reads, checks and keeps; another version of one may read the same file differently.
_LIBRARIES = ("jinja2", "jsonschema", "pydantic", "pydantic-core", "pyyaml")


def digest_language(catalogue: Catalogue, step_types: StepTypes) -> str:
    """SHA-256 (hexadecimal) of the catalogue, the step types, the code that compiles, and what it stands on."""
    signals = {name: signal.model_dump(mode="json") for name, signal in catalogue.signals.items()}
    events = {name: event.model_dump(mode="json") for name, event in catalogue.events.items()}
    steps = {word: _describe(step_type) for word, step_type in step_types.items()}
    directories = {Path(__file__).parent, *(_home(step_type) for step_type in step_types.values())}
    told = [signals, events, steps, _digest_platform(), sorted(_digest_code(place) for place in directories)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _describe(step_type: StepType) -> list[object]:
    return [
        step_type.word, step_type.about, step_type.arguments.model_json_schema(), step_type.outcomes,
        step_type.activity, step_type.human, step_type.shorthand, step_type.channel, step_type.sends,
    ]  # fmt: skip


def _home(step_type: StepType) -> Path:
    """Where the code lies that checks a step's arguments, and whatever it leans on beside it."""
    return Path(inspect.getfile(step_type.arguments)).parent


@cache
def _digest_code(directory: Path) -> str:
    # Once per process: what runs is what lay there when it was imported.
    found = hashlib.sha256()
    for path in sorted(directory.glob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.name} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


@cache
def _digest_platform() -> list[str]:
    return [sys.version, *(f"{name} {version(name)}" for name in _LIBRARIES)]
