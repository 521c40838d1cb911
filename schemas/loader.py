"""Reads a directory of playbooks, or the paths somebody named; one bad file never stops the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.catalogue import Catalogue
from schemas.compiler import compile_playbook
from schemas.errors import Problem, SettingError
from schemas.language import Language
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.policy_file import read_policy
from schemas.problem import nearest
from schemas.step_type import StepTypes
from schemas.template_file import MessageTemplate, read_template
from schemas.yaml_source import MAX_BYTES, Source, read_bytes

POLICY_FILE = "policy.yaml"
TEMPLATES = "templates"


@dataclass
class Loaded:
    """What a directory holds: good playbooks by name, the policy, and every problem.

    `sources` has the text of every playbook file that could be read, by name, good or not; `files` counts
    the files that were looked at. `policy` is None where `policy.yaml` has errors (keep the last good one);
    without the file nothing governs. `invalid` names the playbooks whose files are there and can't be used,
    be it for a fault of their own or of a template: they aren't gone.
    """

    playbooks: dict[str, CompiledPlaybook] = field(default_factory=dict)
    policy: Policy | None = field(default_factory=Policy)
    templates: dict[str, MessageTemplate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    files: int = 0
    invalid: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether there is any error; warnings don't count."""
        return any(problem.severity == "error" for problem in self.problems)


def load_playbooks(directory: Path, catalogue: Catalogue, step_types: StepTypes) -> Loaded:
    """Everything in `directory`: its playbooks, `policy.yaml` and `templates/`.

    Raises SettingError where there is no such directory.
    """
    return load_paths([directory], catalogue, step_types)


def load_paths(paths: Iterable[Path], catalogue: Catalogue, step_types: StepTypes) -> Loaded:
    """The files named and those in the directories named.

    Beside a playbook lie its `policy.yaml` and `templates/`; of files that weren't named only those problems
    are told for which a playbook that was named can't be used.
    Raises SettingError for a path that isn't there.
    """
    loader = _Loader(Language(catalogue, step_types))
    for path in paths:
        loader.add(path)
    return loader.finish()


class _Loader:
    def __init__(self, language: Language) -> None:
        self.language = language
        self.loaded = Loaded()
        self.playbook_files: dict[Path, None] = {}
        self.template_files: dict[Path, None] = {}
        self.policy_files: dict[Path, None] = {}
        self.homes: dict[Path, dict[str, MessageTemplate]] = {}
        self.unnamed: dict[tuple[Path, str], list[Problem]] = {}

    def add(self, path: Path) -> None:
        if path.is_dir():
            self._add_directory(path)
        elif not path.exists():
            near = (
                nearest(path.name, [item.name for item in path.parent.iterdir()])
                if path.parent.is_dir()
                else []
            )
            remedy = (
                f"Did you mean {path.parent / near[0]}?"
                if near
                else "Name a file or a directory of playbooks."
            )
            raise SettingError(f"There is no {path}.", remedy=remedy)
        elif path.parent.name == TEMPLATES:
            self.template_files[path] = None
        elif path.name == POLICY_FILE:
            self.policy_files[path] = None
        else:
            self.playbook_files[path] = None

    def _add_directory(self, directory: Path) -> None:
        if directory.name == TEMPLATES:
            self.template_files.update(dict.fromkeys(self._yaml_files(directory)))
            return
        for path in self._yaml_files(directory):
            (self.policy_files if path.name == POLICY_FILE else self.playbook_files)[path] = None
        if (directory / TEMPLATES).is_dir():
            self.template_files.update(dict.fromkeys(self._yaml_files(directory / TEMPLATES)))

    def _yaml_files(self, directory: Path) -> list[Path]:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
        for path in found:
            if path.suffix == ".yml":
                hint = f"Rename it to {path.stem}.yaml."
                self._tell(
                    Problem(
                        str(path),
                        1,
                        1,
                        "PB014",
                        "",
                        "This file is not read: its name ends in .yml.",
                        hint,
                        "warning",
                    )
                )
        return [path for path in found if path.suffix == ".yaml" and not path.is_dir()]

    def finish(self) -> Loaded:
        for path in self.template_files:
            self._templates_of(path.parent.parent)
        for path in self.policy_files:
            self._read_policy(path, named=True)
        for path in self.playbook_files:
            self._read_playbook(path)
        for home in dict.fromkeys(path.parent for path in self.playbook_files):
            if home / POLICY_FILE not in self.policy_files and (home / POLICY_FILE).is_file():
                self._read_policy(home / POLICY_FILE, named=False)
        names = {path.stem for path in self.playbook_files}
        self.loaded.invalid = frozenset(names - self.loaded.playbooks.keys())
        self.loaded.problems.sort(
            key=lambda problem: (problem.file, problem.line, problem.column, problem.code)
        )
        return self.loaded

    def _read_playbook(self, path: Path) -> None:
        source, problems = self._read(path)
        name = path.stem
        if source is None:
            self._tell(*problems)
            return
        templates = self._templates_of(path.parent)
        compiled = compile_playbook(source, self.language, templates, name=name, problems=problems)
        self._tell(*compiled.problems)
        for template in sorted(compiled.waits_for):
            self._tell(*self.unnamed.pop((path.parent, template), []))
        if name in self.loaded.sources:
            hint = "Rename one of them; a name is given once."
            self._tell(Problem(str(path), 1, 1, "PB220", "", f"There is another playbook `{name}`.", hint))
            return
        self.loaded.sources[name] = source.text
        if compiled.playbook:
            self.loaded.playbooks[name] = compiled.playbook

    def _templates_of(self, home: Path) -> dict[str, MessageTemplate]:
        """The templates beside the playbooks in `home`, read once."""
        if home in self.homes:
            return self.homes[home]
        found = self.homes[home] = {}
        directory = home / TEMPLATES
        files = self._unhidden(directory) if directory.is_dir() else []
        for path in files:
            source, problems = self._read(path, count=path in self.template_files)
            template = None
            if source is not None:
                template, problems = read_template(source, self.language, path.stem, problems)
            found[path.stem] = template or MessageTemplate(path.stem, {}, broken=True)
            if path in self.template_files:
                self._tell(*problems)
            elif template is None:
                self.unnamed[home, path.stem] = problems
        self.loaded.templates.update({name: item for name, item in found.items() if not item.broken})
        return found

    def _unhidden(self, directory: Path) -> list[Path]:
        return [path for path in sorted(directory.glob("*.yaml")) if not path.name.startswith(".")]

    def _read_policy(self, path: Path, *, named: bool) -> None:
        source, problems = self._read(path, count=named)
        policy = None
        if source is not None:
            policy, problems = read_policy(source, self.language, problems)
        self.loaded.policy = policy
        if named:
            self._tell(*problems)

    def _read(self, path: Path, *, count: bool = True) -> tuple[Source | None, list[Problem]]:
        self.loaded.files += count
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            what = f"The file can't be read: {(error.strerror or str(error)).lower()}."
            return None, [
                Problem(str(path), 1, 1, "PB014", "", what, "Check that it is a file, and its permissions.")
            ]
        return read_bytes(content, str(path))

    def _tell(self, *problems: Problem) -> None:
        self.loaded.problems.extend(problems)
