"""The health model that a command line means: by name, by path, or the one that the policy names."""

from __future__ import annotations

from pathlib import Path

import click

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.errors import PlaybookError, SettingError
from schemas.file_selection import HEALTH, POLICY_FILE
from schemas.health_model import HealthModel
from schemas.loader import load_paths
from schemas.problem import did_you_mean
from schemas.shipped_health import shipped_models


def find_model(named: str | None, directory: Path) -> HealthModel:
    """The model called `named` (None: the one that scores by `policy.yaml` in `directory`).

    Files in `health/` go before what ships. Raises PlaybookError for a file with errors, UsageError where there is
    none.
    """
    if named is None:
        named = _read_policy(directory / POLICY_FILE)
    path = Path(named)
    if len(path.parts) == 1 and path.suffix != ".yaml":
        path = directory / HEALTH / f"{named}.yaml"
        if not path.exists() and named in shipped_models():
            return shipped_models()[named]
    if not path.exists():
        there = {*shipped_models(), *(file.stem for file in (directory / HEALTH).glob("*.yaml"))}
        hint = did_you_mean(named, sorted(there))
        raise click.UsageError(f"There is no health model {named}. {hint}")
    return read_model(path)


def read_model(path: Path) -> HealthModel:
    """The model in a file, wherever it lies. Raises PlaybookError."""
    from schemas.file_compiler import FileCompiler
    from schemas.language import Language
    from schemas.yaml_file import read_content

    content = read_content(path)
    if not isinstance(content, bytes):
        raise PlaybookError([content])
    model, problems = FileCompiler(Language(load_catalogue(), {})).read_health(path, content)
    if model is None:
        raise PlaybookError(problems)
    return model


def _read_policy(path: Path) -> str:
    from schemas.policy import Policy

    if not path.is_file():
        return Policy().health_model
    try:
        loaded = load_paths([path], load_catalogue(), find_step_types())
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    if loaded.policy is None:
        raise PlaybookError([problem for problem in loaded.problems if problem.severity == "error"])
    return loaded.policy.health_model
