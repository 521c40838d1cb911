"""What is to be published, as files say it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from activities.registry import find_step_types
from schemas.catalogue import Catalogue
from schemas.compiled_cache import open_cache
from schemas.errors import Problem
from schemas.file_selection import HEALTH, MILESTONES_FILE, POLICY_FILE, TEMPLATES
from schemas.health_model import HealthModel
from schemas.loader import load_paths, load_playbooks
from schemas.milestones import Milestones
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy

# The directories beside the playbooks.
BESIDE = (TEMPLATES, HEALTH)


@dataclass(frozen=True)
class Files:
    """What is to be published: the good playbooks by name, the policy (None: leave it as it is), the good health
    models, all problems.

    `gone` is to be retired (None: whatever is published and isn't here). `looked_at` are the files (named as in
    `directory`) that were meant; None: all. `invalid` names playbooks whose files can't be used, `broken_health` such
    models; `whole_health`: a model that is published and isn't here is gone. `milestones` are the good milestones;
    `milestones_gone`: there is no file of them any more.
    """

    directory: Path
    playbooks: Mapping[str, CompiledPlaybook]
    sources: Mapping[str, str]
    policy: Policy | None
    policy_source: str | None
    problems: Sequence[Problem]
    invalid: Collection[str] = frozenset()
    gone: Collection[str] | None = None
    looked_at: Collection[str] | None = None
    health: Mapping[str, HealthModel] = field(default_factory=dict)
    broken_health: Collection[str] = frozenset()
    whole_health: bool = False
    milestones: Milestones | None = None
    milestones_gone: bool = False

    @property
    def errors(self) -> list[Problem]:
        """The problems for which something can't be published."""
        return [problem for problem in self.problems if problem.severity == "error"]


def read_directory(directory: Path, catalogue: Catalogue) -> Files:
    """Everything in a directory of playbooks. Raises SettingError where there is none."""
    loaded = load_playbooks(directory, catalogue, find_step_types(), open_cache(os.environ))
    policy_file = directory / POLICY_FILE
    return Files(
        directory, loaded.playbooks, loaded.sources, loaded.policy, read_text(policy_file) or "", loaded.problems,
        loaded.invalid, health=loaded.health, broken_health=loaded.broken_health, whole_health=True,
        milestones=loaded.milestones,
        milestones_gone=loaded.milestones is None and not loaded.broken_milestones,
    )  # fmt: skip


def read_paths(paths: Sequence[Path], catalogue: Catalogue) -> list[Files]:
    """What is meant by these files and directories, by the directory that they lie in.

    A template means the playbooks beside it that use it. Raises SettingError for a path that isn't there.
    """
    homes: dict[Path, list[Path]] = {}
    for path in paths:
        inside = path.parent if path.parent.name in BESIDE or path.name in BESIDE else path
        homes.setdefault(path if path.is_dir() and path.name not in BESIDE else inside.parent, []).append(
            path
        )
    return [_read_named(home, named, catalogue) for home, named in homes.items()]


def _read_named(home: Path, named: Sequence[Path], catalogue: Catalogue) -> Files:
    if home in named:
        files = read_directory(home, catalogue)
        looked_at = {file_name(problem.file) for problem in files.problems}
        looked_at |= {f"{name}.yaml" for name in files.playbooks} | {POLICY_FILE, MILESTONES_FILE}
        looked_at |= {f"{beside}/{path.name}" for beside in BESIDE for path in (home / beside).glob("*.yaml")}
        return replace(files, gone=(), looked_at=looked_at, whole_health=False, milestones_gone=False)
    templates = {path.stem for path in named if path.parent.name == TEMPLATES}
    if home / TEMPLATES in named:
        templates |= {path.stem for path in (home / TEMPLATES).glob("*.yaml")}
    # What uses a template can only be seen by reading all.
    loaded = load_paths([home] if templates else named, catalogue, find_step_types(), open_cache(os.environ))
    names = {path.stem for path in named}
    chosen = {
        name: playbook
        for name, playbook in loaded.playbooks.items()
        if name in names or templates & playbook.templates.keys()
    }
    looked_at = {f"{name}.yaml" for name in chosen} | {f"{TEMPLATES}/{name}.yaml" for name in templates}
    looked_at |= {file_name(str(path)) for path in named if path.is_file()}
    policy = loaded.policy if home / POLICY_FILE in named else None
    models = {path.stem for path in named if path.parent.name == HEALTH}
    if home / HEALTH in named:
        models |= {path.stem for path in (home / HEALTH).glob("*.yaml")}
    looked_at |= {f"{HEALTH}/{name}.yaml" for name in models}
    return Files(
        home,
        chosen,
        {name: loaded.sources[name] for name in chosen},
        policy,
        read_text(home / POLICY_FILE) if policy else None,
        [problem for problem in loaded.problems if not templates or file_name(problem.file) in looked_at],
        loaded.invalid & names,
        gone=(),
        looked_at=looked_at,
        health={name: model for name, model in loaded.health.items() if name in models},
        milestones=loaded.milestones if home / MILESTONES_FILE in named else None,
    )


def read_text(path: Path) -> str | None:
    """What is written there, as it can be stored; None: it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\x00", "")
    except OSError:
        return None


def file_name(file: str) -> str:
    """A file's name inside its directory of playbooks, whoever looks at it from wherever."""
    path = Path(file)
    return f"{path.parent.name}/{path.name}" if path.parent.name in BESIDE else path.name
