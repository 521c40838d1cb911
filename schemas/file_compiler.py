"""From the bytes of one file to what it means, taken from a cache where neither the file nor what it uses changed.

Whatever a file does to the compiler ends in problems of that file: one bad file never stops the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from schemas.compiled_cache import CompiledCache
from schemas.compiler import Compiled, compile_playbook
from schemas.errors import Problem
from schemas.frozen import Frozen
from schemas.health_file import read_health_model
from schemas.health_model import HealthModel
from schemas.language import Language
from schemas.language_digest import digest_language
from schemas.milestones import Milestones
from schemas.milestones_file import read_milestones
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.policy_file import read_policy
from schemas.problem import TooManyProblems
from schemas.problem_limit import shorten
from schemas.reference import Named
from schemas.template_file import MessageTemplate, read_template
from schemas.yaml_source import Source, read_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")
E = TypeVar("E", bound=Frozen)

UNFORESEEN = "PB016"


class Templates(Mapping[str, MessageTemplate]):
    """The templates beside some playbooks, by name, with the digest of each file."""

    def __init__(self) -> None:
        self._items: dict[str, MessageTemplate] = {}
        self.digests: dict[str, str] = {}

    def add(self, template: MessageTemplate, digest: str) -> None:
        """Take one more."""
        self._items[template.name] = template
        self.digests[template.name] = digest
        self.__dict__.pop("digest", None)

    def __getitem__(self, name: str) -> MessageTemplate:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def digest(self) -> str:
        """The digest of all of them."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()


class _Watched(Mapping[str, MessageTemplate]):
    """Templates that note which of them are asked for: what is compiled depends on these alone."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self.asked: dict[str, str | None] = {}
        self.listed = False

    def __getitem__(self, name: str) -> MessageTemplate:
        self.asked[name] = self._templates.digests.get(name)
        return self._templates[name]

    def __iter__(self) -> Iterator[str]:
        self.listed = True
        return iter(self._templates)

    def __len__(self) -> int:
        self.listed = True
        return len(self._templates)


class _KeptPlaybook(Frozen):
    """What a playbook's file was compiled to. `asked`: the digests of the templates that it used, None where there
    was none of that name; `listed`: the digest of all, where it went through them.
    """

    readable: bool
    playbook: CompiledPlaybook | None = None
    problems: tuple[Problem, ...] = ()
    waits_for: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    asked: dict[str, str | None] = {}
    listed: str | None = None

    def holds(self, templates: Templates) -> bool:
        """Whether all that it used is still the same."""
        if self.listed is not None and self.listed != templates.digest:
            return False
        return all(templates.digests.get(name) == digest for name, digest in self.asked.items())


class _KeptTemplate(Frozen):
    """What a template's file was read as; no channels where it has errors."""

    channels: dict[str, dict[str, Any]] | None = None
    problems: tuple[Problem, ...] = ()


class FileCompiler:
    """Compiles the files of one language."""

    def __init__(self, language: Language, cache: CompiledCache | None = None) -> None:
        self._language = language
        self._cache = cache

    def compile_playbook(
        self, path: Path, content: bytes, templates: Templates
    ) -> tuple[Compiled, str | None]:
        """What became of the file at `path`, and its text; no text where it isn't YAML at all."""
        key = self._key("playbook", path, content)
        kept = self._find(key, _KeptPlaybook)
        if kept is None or not kept.holds(templates):
            watched = _Watched(templates)
            source, compiled = self._compile(path, content, watched)
            kept = _KeptPlaybook(
                readable=source,
                playbook=compiled.playbook,
                problems=tuple(compiled.problems),
                waits_for=tuple(sorted(compiled.waits_for)),
                named=compiled.named,
                asked=watched.asked,
                listed=templates.digest if watched.listed else None,
            )
            self._keep(key, kept)
        problems = [replace(problem, file=str(path)) for problem in kept.problems]
        compiled = Compiled(kept.playbook, problems, frozenset(kept.waits_for), kept.named)
        return compiled, content.decode("utf-8") if kept.readable else None

    def read_template(self, path: Path, content: bytes) -> tuple[MessageTemplate | None, list[Problem], str]:
        """The template in the file at `path` (None where it has errors), its problems, and the file's digest."""
        key = self._key("template", path, content)
        kept = self._find(key, _KeptTemplate)
        if kept is None:

            def read(source: Source, found: list[Problem]) -> tuple[MessageTemplate | None, list[Problem]]:
                return read_template(source, self._language, path.stem, found)

            _, template, problems = _survive(path, content, read)
            channels = (
                None if template is None else {name: dict(parts) for name, parts in template.channels.items()}
            )
            kept = _KeptTemplate(channels=channels, problems=tuple(problems))
            self._keep(key, kept)
        told = [replace(problem, file=str(path)) for problem in kept.problems]
        good = None if kept.channels is None else MessageTemplate(path.stem, kept.channels)
        return good, told, key or hashlib.sha256(content).hexdigest()

    def read_health(self, path: Path, content: bytes) -> tuple[HealthModel | None, list[Problem]]:
        """The health model in the file at `path`, None where it has errors, and its problems."""

        def read(source: Source, found: list[Problem]) -> tuple[HealthModel | None, list[Problem]]:
            return read_health_model(source, self._language, path.stem, found)

        _, model, problems = _survive(path, content, read)
        return model, problems

    def read_policy(
        self, path: Path, content: bytes, health_models: Collection[str], playbooks: Collection[str]
    ) -> tuple[Policy | None, list[Problem]]:
        """The policy in the file at `path`, None where it has errors, and its problems.

        `health_models` and `playbooks` are there.
        """

        def read(source: Source, found: list[Problem]) -> tuple[Policy | None, list[Problem]]:
            return read_policy(source, self._language, found, health_models, playbooks)

        _, policy, problems = _survive(path, content, read)
        return policy, problems

    def read_milestones(self, path: Path, content: bytes) -> tuple[Milestones | None, list[Problem]]:
        """The milestones in the file at `path`, None where it has errors, and its problems."""

        def read(source: Source, found: list[Problem]) -> tuple[Milestones | None, list[Problem]]:
            return read_milestones(source, self._language, found)

        _, milestones, problems = _survive(path, content, read)
        return milestones, problems

    def _compile(self, path: Path, content: bytes, templates: _Watched) -> tuple[bool, Compiled]:
        def read(source: Source, found: list[Problem]) -> tuple[Compiled | None, list[Problem]]:
            compiled = compile_playbook(source, self._language, templates, name=path.stem, problems=found)
            return compiled, compiled.problems

        readable, compiled, problems = _survive(path, content, read)
        return readable, compiled or Compiled(None, problems)

    @cached_property
    def _digest(self) -> str:
        return digest_language(self._language.catalogue, self._language.step_types)

    def _key(self, kind: str, path: Path, content: bytes) -> str:
        """Where the result lies in the cache; empty without one."""
        if self._cache is None:
            return ""
        found = hashlib.sha256(f"{kind}\n{self._digest}\n{path.stem}\n".encode("utf-8", "surrogateescape"))
        found.update(content)
        return found.hexdigest()

    def _find(self, key: str, kind: type[E]) -> E | None:
        body = self._cache.read(key) if self._cache is not None else None
        if body is None:
            return None
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            return None

    def _keep(self, key: str, kept: _KeptPlaybook | _KeptTemplate) -> None:
        if self._cache is None or any(problem.code == UNFORESEEN for problem in kept.problems):
            return
        # What can't be written as JSON, as a file's name that is no UTF-8, isn't kept.
        with contextlib.suppress(ValueError):
            self._cache.write(key, kept.model_dump_json().encode())


def _survive(
    path: Path, content: bytes, read: Callable[[Source, list[Problem]], tuple[T | None, list[Problem]]]
) -> tuple[bool, T | None, list[Problem]]:
    """Whether the file is YAML at all, what `read` makes of it, and all problems, whatever the file does."""
    source = None
    try:
        source, problems = read_bytes(content, str(path))
        if source is None:
            return False, None, problems
        made, problems = read(source, problems)
    except TooManyProblems as stop:
        return (
            True,
            None,
            sorted(stop.problems, key=lambda problem: (problem.line, problem.column, problem.code)),
        )
    except Exception as error:  # the net: a file that nobody foresaw is one bad file, and no more
        log.exception("%s can't be compiled", path)
        what = shorten(f"The file can't be checked: {type(error).__name__}: {error}.")
        hint = "This is a fault of Holdfast; the log has the details. Please report it with the file."
        return source is not None, None, [Problem(str(path), 1, 1, UNFORESEEN, "", what, hint)]
    return True, made, problems
