"""Reads a directory of playbooks, or the paths somebody named; one bad file never stops the others."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from schemas.catalogue import Catalogue
from schemas.compiled_cache import CompiledCache
from schemas.errors import Problem
from schemas.file_compiler import FileCompiler, Templates
from schemas.file_selection import (
    BESIDE_PLAYBOOKS,
    HEALTH,
    POLICY_FILE,
    TEMPLATES,
    FileSelection,
    list_unhidden,
)
from schemas.health_model import HealthModel
from schemas.language import Language
from schemas.milestones import Milestones
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.reference import Named, check_playbook_names, check_team_names
from schemas.shipped_health import shipped_models
from schemas.step_type import StepTypes
from schemas.template_file import MessageTemplate
from schemas.yaml_file import read_content


@dataclass
class Loaded:
    """What a directory holds: good playbooks by name, the policy, health models, and every problem.

    `sources` has the text of every playbook file that could be read, by name, good or not; `files` counts
    the files that were looked at. `policy` is None where `policy.yaml` has errors (keep the last good one);
    without the file nothing governs. `invalid` names the playbooks whose files are there and can't be used,
    be it for a fault of their own or of a template: they aren't gone. `health` has the good files of `health/`; those
    that ship are always there beside them. `broken_health` names the others. `milestones` is None without
    `milestones.yaml`, and where that has errors (`broken_milestones`).
    """

    playbooks: dict[str, CompiledPlaybook] = field(default_factory=dict)
    policy: Policy | None = field(default_factory=Policy)
    templates: dict[str, MessageTemplate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    files: int = 0
    invalid: frozenset[str] = frozenset()
    health: dict[str, HealthModel] = field(default_factory=dict)
    broken_health: frozenset[str] = frozenset()
    milestones: Milestones | None = None
    broken_milestones: bool = False

    @property
    def failed(self) -> bool:
        """Whether there is any error; warnings don't count."""
        return any(problem.severity == "error" for problem in self.problems)


def load_playbooks(
    directory: Path, catalogue: Catalogue, step_types: StepTypes, cache: CompiledCache | None = None
) -> Loaded:
    """Everything in `directory`: its playbooks, `policy.yaml`, `milestones.yaml`, `templates/` and `health/`.

    cache: where to find, and to keep, what files were compiled to; the answer is the same without it.
    Raises SettingError where there is no such directory.
    """
    return load_paths([directory], catalogue, step_types, cache)


def load_paths(
    paths: Iterable[Path], catalogue: Catalogue, step_types: StepTypes, cache: CompiledCache | None = None
) -> Loaded:
    """The files named and those in the directories named.

    Beside a playbook lie its `policy.yaml` and `templates/`; of files that weren't named only those problems
    are told for which a playbook that was named can't be used.
    Raises SettingError for a path that isn't there.
    """
    files = FileSelection()
    with _collecting_seldom():
        for path in paths:
            files.add(path)
        loaded = _Loader(FileCompiler(Language(catalogue, step_types), cache), files).read()
    if cache is not None:
        cache.trim()
    return loaded


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Let the garbage collector wait: plans are many small objects that stay, and it would look at them for ever.

    It isn't turned off, so that thousands of hostile files don't pile up.
    """
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class _Loader:
    def __init__(self, compiler: FileCompiler, files: FileSelection) -> None:
        self.compiler = compiler
        self.files = files
        self.loaded = Loaded(problems=[*files.problems])
        self.homes: dict[Path, Templates] = {}
        self.unnamed: dict[tuple[Path, str], list[Problem]] = {}
        self.beside: dict[Path, frozenset[str]] = {}
        self.policies: dict[Path, Policy | None] = {}
        self.teams_named: list[tuple[Path, tuple[Named, ...]]] = []

    def read(self) -> Loaded:
        for path in self.files.templates:
            self._templates_of(path.parent.parent)
        for path in self.files.health:
            self._read_health(path)
        for path in self.files.milestones:
            self._read_milestones(path)
        for path in self.files.policies:
            self._read_policy(path, named=True)
        for path in self.files.playbooks:
            self._read_playbook(path)
        for home in dict.fromkeys(path.parent for path in self.files.playbooks):
            if home / POLICY_FILE not in self.files.policies and os.path.isfile(home / POLICY_FILE):  # noqa: PTH113
                self._read_policy(home / POLICY_FILE, named=False)
        for path, named in self.teams_named:
            self._check_teams(path, named)
        names = {path.stem for path in self.files.playbooks}
        self.loaded.invalid = frozenset(names - self.loaded.playbooks.keys())
        self.loaded.problems.sort(
            key=lambda problem: (problem.file, problem.line, problem.column, problem.code)
        )
        return self.loaded

    def _read_playbook(self, path: Path) -> None:
        content = self._read(path)
        if isinstance(content, Problem):
            self._tell(content)
            return
        compiled, text = self.compiler.compile_playbook(path, content, self._templates_of(path.parent))
        missing = []
        if compiled.named:
            missing = check_playbook_names(str(path), path.stem, compiled.named, self._beside(path.parent))
            self.teams_named.append((path, compiled.named))
        self._tell(*compiled.problems, *missing)
        for template in sorted(compiled.waits_for):
            self._tell(*self.unnamed.pop((path.parent, template), []))
        name = path.stem
        if text is None:
            return
        if name in self.loaded.sources:
            hint = "Rename one of them; a name is given once."
            self._tell(Problem(str(path), 1, 1, "PB220", "", f"There is another playbook `{name}`.", hint))
            return
        self.loaded.sources[name] = text
        if compiled.playbook and not any(problem.severity == "error" for problem in missing):
            self.loaded.playbooks[name] = compiled.playbook

    def _check_teams(self, path: Path, named: Iterable[Named]) -> None:
        """What is wrong with the teams that a playbook names, now that its policy is read."""
        policy = self.policies.get(path.parent, Policy())
        if policy is None:
            return
        missing = check_team_names(str(path), named, policy.teams)
        self._tell(*missing)
        if missing and self.loaded.playbooks.get(path.stem) is not None:
            del self.loaded.playbooks[path.stem]

    def _beside(self, home: Path) -> frozenset[str]:
        """The names of the playbooks in `home`."""
        if home not in self.beside:
            files = [path for path in list_unhidden(home) if path.name not in BESIDE_PLAYBOOKS]
            self.beside[home] = frozenset(path.stem for path in files)
        return self.beside[home]

    def _templates_of(self, home: Path) -> Templates:
        """The templates beside the playbooks in `home`, read once."""
        if home in self.homes:
            return self.homes[home]
        found = self.homes[home] = Templates()
        # A file that was named and isn't listed, as one that vanished, has its say too.
        named = [path for path in self.files.templates if path.parent == home / TEMPLATES]
        for path in sorted({*list_unhidden(home / TEMPLATES), *named}):
            content = self._read(path, count=path in self.files.templates)
            if isinstance(content, Problem):
                template, problems, digest = None, [content], ""
            else:
                template, problems, digest = self.compiler.read_template(path, content)
            found.add(template or MessageTemplate(path.stem, {}, broken=True), digest)
            if path in self.files.templates:
                self._tell(*problems)
            elif template is None:
                self.unnamed[home, path.stem] = problems
        self.loaded.templates.update({name: item for name, item in found.items() if not item.broken})
        return found

    def _read_health(self, path: Path) -> None:
        content = self._read(path)
        if isinstance(content, Problem):
            model, problems = None, [content]
        else:
            model, problems = self.compiler.read_health(path, content)
        self._tell(*problems)
        if model is not None:
            self.loaded.health[path.stem] = model
        else:
            self.loaded.broken_health |= {path.stem}

    def _read_milestones(self, path: Path) -> None:
        content = self._read(path)
        if isinstance(content, Problem):
            found, problems = None, [content]
        else:
            found, problems = self.compiler.read_milestones(path, content)
        self._tell(*problems)
        self.loaded.milestones = found
        self.loaded.broken_milestones = found is None

    def _read_policy(self, path: Path, *, named: bool) -> None:
        content = self._read(path, count=named)
        if isinstance(content, Problem):
            policy, problems = None, [content]
        else:
            there = {*shipped_models(), *(file.stem for file in list_unhidden(path.parent / HEALTH))}
            policy, problems = self.compiler.read_policy(path, content, there, self._beside(path.parent))
        self.loaded.policy = self.policies[path.parent] = policy
        if named:
            self._tell(*problems)

    def _read(self, path: Path, *, count: bool = True) -> bytes | Problem:
        self.loaded.files += count
        return read_content(path)

    def _tell(self, *problems: Problem) -> None:
        self.loaded.problems.extend(problems)
