"""The health models that ship: there for every directory of playbooks, unless a file of the same name replaces one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from schemas.catalogue import load_catalogue
from schemas.errors import PlaybookError
from schemas.health_file import read_health_model
from schemas.health_model import HealthModel
from schemas.language import Language
from schemas.yaml_source import load_bytes

SHIPPED_HEALTH = Path(__file__).parent / "health"


@cache
def shipped_models() -> Mapping[str, HealthModel]:
    """By name, read once. Raises PlaybookError where one has errors."""
    language = Language(load_catalogue(), {})
    models = {}
    for path in sorted(SHIPPED_HEALTH.glob("*.yaml")):
        source = load_bytes(path.read_bytes(), str(path))
        model, problems = read_health_model(source, language, path.stem, [])
        if model is None:
            raise PlaybookError(problems)
        models[model.name] = model
    return MappingProxyType(models)


def shipped_model(name: str) -> HealthModel:
    """One of them. Raises KeyError for another name."""
    return shipped_models()[name]
