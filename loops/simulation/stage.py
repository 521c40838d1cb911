"""The files of a playbook and of what lies beside it: policy, templates, and the playbooks that it may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from activities.registry import find_step_types
from schemas.catalogue import Catalogue
from schemas.errors import PlaybookError, SettingError
from schemas.file_selection import POLICY_FILE
from schemas.loader import Loaded, load_paths
from schemas.nesting import walk
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import Policy
from schemas.problem import nearest
from schemas.step_type import StepTypes


@dataclass(frozen=True)
class Stage:
    """A playbook ready to be played: `others` are those that its steps may start, by name."""

    playbook: CompiledPlaybook
    policy: Policy
    others: Mapping[str, CompiledPlaybook]
    step_types: StepTypes


def find_file(name: str, directory: Path) -> Path:
    """The file of the playbook of that name in `directory`, or of that path. Raises SettingError."""
    path = Path(name)
    if path.suffix != ".yaml" and len(path.parts) == 1:
        path = directory / f"{name}.yaml"
    if path.is_file():
        return path
    beside = path.parent.glob("*.yaml") if path.parent.is_dir() else ()
    near = nearest(path.stem, [item.stem for item in beside if item.name != POLICY_FILE])
    raise SettingError(
        f"There is no playbook {path}.",
        remedy=f"Did you mean {near[0]}?" if near else "Name a playbook or the path of its file.",
    )


def set_stage(path: Path, catalogue: Catalogue) -> Stage:
    """What is needed to play the playbook in the file `path`. Raises PlaybookError with every error in it."""
    step_types = find_step_types()
    policy = path.parent / POLICY_FILE
    files = [path, policy] if policy.is_file() else [path]
    loaded = load_paths(files, catalogue, step_types)
    playbook = loaded.playbooks.get(path.stem)
    if loaded.failed or playbook is None or loaded.policy is None:
        raise PlaybookError([problem for problem in loaded.problems if problem.severity == "error"])
    others = _load_started(playbook, path.parent, catalogue, step_types)
    return Stage(playbook, loaded.policy, others.playbooks, step_types)


def _load_started(
    playbook: CompiledPlaybook, directory: Path, catalogue: Catalogue, step_types: StepTypes
) -> Loaded:
    names = {
        str(step.args["playbook"])
        for step in walk(playbook.steps)
        if isinstance(step, Act) and step.activity == "Entry.ask"
    }
    files = [file for name in sorted(names) if (file := directory / f"{name}.yaml").is_file()]
    return load_paths(files, catalogue, step_types)
