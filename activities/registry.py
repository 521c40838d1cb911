"""Finds the step types: every module in `activities/` that declares a `STEP` adds a word to the language."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from functools import cache
from pathlib import Path

import activities
from schemas.errors import SettingError
from schemas.step_schema import CORE_STEPS, STEP_KEYS
from schemas.step_type import CARRY_OUT, StepType, StepTypes

# Words that the language itself gives a meaning in a step.
RESERVED = frozenset({*CORE_STEPS, *STEP_KEYS})


@cache
def find_step_types() -> StepTypes:
    """The registered step types by word; raises SettingError where one can't be used or a word is taken."""
    found: dict[str, StepType] = {}
    origin: dict[str, str] = {}
    for module_info in sorted(pkgutil.iter_modules(activities.__path__), key=lambda info: info.name):
        if not _may_declare(module_info.name):
            continue
        module = importlib.import_module(f"activities.{module_info.name}")
        step_type = getattr(module, "STEP", None)
        if step_type is None:
            continue
        _check(step_type, module_info.name)
        if step_type.word in found:
            both = f"activities/{origin[step_type.word]}.py and activities/{module_info.name}.py"
            raise SettingError(
                f"{both} both declare the step `{step_type.word}`.", remedy="Rename one of them."
            )
        found[step_type.word] = step_type
        origin[step_type.word] = module_info.name
    return found


def _may_declare(module: str) -> bool:
    # Activities import databases and Temporal; a command that only reads playbooks needn't wait for them.
    spec = importlib.util.find_spec(f"activities.{module}")
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return True
    return re.search(rb"^STEP\b", Path(spec.origin).read_bytes(), re.MULTILINE) is not None


def _check(step_type: object, module: str) -> None:
    where = f"activities/{module}.py"
    if not isinstance(step_type, StepType):
        raise SettingError(f"STEP in {where} is no StepType.", remedy="Declare `STEP = StepType(word=…)`.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", step_type.word) or step_type.word in RESERVED:
        remedy = "Choose a word of lower-case letters that the language doesn't use itself."
        raise SettingError(
            f"{where} declares the step `{step_type.word}`, which can't be a word.", remedy=remedy
        )
    if (step_type.carry_out is None) == (step_type.activity == CARRY_OUT):
        remedy = "Declare `carry_out=…`, an async function that takes a Work and returns a Done."
        raise SettingError(f"{where} doesn't say how `{step_type.word}` is carried out.", remedy=remedy)
    if not step_type.outcomes:
        raise SettingError(
            f"The step `{step_type.word}` in {where} has no outcomes.", remedy="Name at least one."
        )
    if step_type.shorthand is not None and step_type.shorthand not in step_type.arguments.model_fields:
        remedy = "Name one of the arguments, or leave `shorthand` out."
        raise SettingError(f"The shorthand `{step_type.shorthand}` in {where} is no argument.", remedy=remedy)
