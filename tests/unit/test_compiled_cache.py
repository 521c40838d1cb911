"""What was compiled before isn't compiled again, and nobody can tell the difference but by the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import schemas.file_compiler
from activities.registry import find_step_types
from bench.files import write_files
from cli.validate import command as validate_command
from schemas.catalogue import Catalogue, load_catalogue
from schemas.compiled_cache import CompiledCache, open_cache
from schemas.language_digest import digest_language
from schemas.loader import Loaded, load_paths, load_playbooks
from schemas.step_type import StepTypes

ROOT = Path(__file__).parents[2]
BAD = ROOT / "tests" / "bad_playbooks"
GOOD = "playbook: {name}\ntitle: T\nowner: cs-ops\nstatus: draft\nsteps:\n  - email: {template}\n"
TIPS = "template: tips\nemail: {subject: Tips, text: Some.}\n"


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    return CompiledCache(tmp_path / "cache")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "playbooks"
    (home / "templates").mkdir(parents=True)
    (home / "templates" / "tips.yaml").write_text(TIPS)
    (home / "templates" / "news.yaml").write_text(TIPS.replace("tips", "news"))
    (home / "one.yaml").write_text(GOOD.format(name="one", template="tips"))
    (home / "two.yaml").write_text(GOOD.format(name="two", template="news"))
    return home


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is really compiled or read, in order."""
    names: list[str] = []

    def note(module_name: str, name_of: Callable[..., str]) -> None:
        real = getattr(schemas.file_compiler, module_name)

        def noting(*given: object, **more: object) -> object:
            names.append(name_of(*given, **more))
            return real(*given, **more)

        monkeypatch.setattr(schemas.file_compiler, module_name, noting)

    note("compile_playbook", lambda *_, name, **__: name)
    note("read_template", lambda source, language, name, problems: f"templates/{name}")
    return names


def load(directory: Path, cache: CompiledCache | None = None, catalogue: Catalogue | None = None,
         step_types: StepTypes | None = None) -> Loaded:  # fmt: skip
    return load_playbooks(directory, catalogue or load_catalogue(), step_types or find_step_types(), cache)


@pytest.mark.parametrize(
    "directory", [ROOT / "playbooks", BAD, BAD / "bad_policy"], ids=lambda path: path.name
)
def test_with_and_without_a_cache_everything_is_the_same(directory: Path, cache: CompiledCache) -> None:
    without = load(directory)
    assert load(directory, cache) == without
    assert load(directory, cache) == without
    assert load(directory, CompiledCache(cache.directory)) == without
    assert {name: plan.version for name, plan in load(directory, cache).playbooks.items()} == {
        name: plan.version for name, plan in without.playbooks.items()
    }


def test_so_it_is_with_many_files_and_files_named_one_by_one(tmp_path: Path, cache: CompiledCache) -> None:
    paths = write_files(tmp_path / "many", 12)
    paths[3].write_text("playbook: [")
    paths[4].write_bytes(b"\xff")
    paths[5].write_text(paths[5].read_text().replace("mail-0", "mial-0"))
    for _ in range(2):
        assert load(tmp_path / "many", cache) == load(tmp_path / "many")
        for path in paths[:7]:
            named = [load_paths([path], load_catalogue(), find_step_types(), kept) for kept in (cache, None)]
            assert named[0] == named[1]


def test_what_did_not_change_is_not_compiled_again(
    home: Path, cache: CompiledCache, compiled: list[str]
) -> None:
    load(home, cache)
    assert sorted(compiled) == ["one", "templates/news", "templates/tips", "two"]
    compiled.clear()
    assert load(home, CompiledCache(cache.directory)).playbooks.keys() == {"one", "two"}
    assert compiled == []


def test_an_edited_file_is_compiled_again_and_no_other(
    home: Path, cache: CompiledCache, compiled: list[str]
) -> None:
    load(home, cache)
    compiled.clear()
    (home / "one.yaml").write_text(GOOD.format(name="one", template="tips").replace("title: T", "title: Two"))
    assert load(home, cache).playbooks["one"].title == "Two"
    assert compiled == ["one"]


def test_an_edited_template_reaches_the_playbooks_that_use_it_alone(
    home: Path, cache: CompiledCache, compiled: list[str]
) -> None:
    load(home, cache)
    compiled.clear()
    (home / "templates" / "tips.yaml").write_text(TIPS.replace("Some.", "More."))
    loaded = load(home, cache)
    assert loaded.playbooks["one"].templates["tips"]["email"]["text"] == "More."
    assert compiled == ["templates/tips", "one"]


def test_a_template_that_breaks_or_goes_or_comes_is_noticed(home: Path, cache: CompiledCache) -> None:
    load(home, cache)
    for text in ("template: tips\n", None, TIPS):
        path = home / "templates" / "tips.yaml"
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
        assert load(home, cache) == load(home)
        assert ("one" in load(home, cache).playbooks) == (text == TIPS)


def test_the_hint_of_an_unknown_template_follows_the_templates(home: Path, cache: CompiledCache) -> None:
    (home / "one.yaml").write_text(GOOD.format(name="one", template="tipps"))
    assert "`tips`" in load(home, cache).problems[0].hint
    (home / "templates" / "tipp.yaml").write_text(TIPS.replace("tips", "tipp"))
    assert "`tipp`" in load(home, cache).problems[0].hint


def test_a_copied_file_is_another_file(home: Path, cache: CompiledCache) -> None:
    load(home, cache)
    (home / "three.yaml").write_bytes((home / "one.yaml").read_bytes())
    (problem,) = load(home, cache).problems
    assert (Path(problem.file).name, problem.code) == ("three.yaml", "PB220")


def test_a_moved_directory_keeps_what_was_compiled(
    home: Path, cache: CompiledCache, compiled: list[str]
) -> None:
    (home / "two.yaml").write_text("[")
    load(home, cache)
    compiled.clear()
    moved = home.rename(home.parent / "moved")
    loaded = load(moved, cache)
    assert compiled == []
    assert {problem.file for problem in loaded.problems} == {str(moved / "two.yaml")}


def test_another_catalogue_or_step_type_is_another_language(
    home: Path, cache: CompiledCache, compiled: list[str]
) -> None:
    catalogue, step_types = load_catalogue(), find_step_types()
    load(home, cache)
    plan = catalogue.signals["plan"].model_copy(update={"about": "Another meaning."})
    other = replace(catalogue, signals={**catalogue.signals, "plan": plan})
    fewer = {**step_types, "email": replace(step_types["email"], outcomes=("sent",))}
    for changed in ({"catalogue": other}, {"step_types": fewer}):
        compiled.clear()
        load(home, cache, **changed)  # type: ignore[arg-type]
        assert {"one", "two"} <= set(compiled)
    digests = {digest_language(catalogue, step_types), digest_language(other, step_types),
               digest_language(catalogue, fewer)}  # fmt: skip
    assert len(digests) == 3
    assert digest_language(catalogue, step_types) == digest_language(load_catalogue(), find_step_types())


@pytest.mark.parametrize("damage", [b"", b"x", b"{}", b"\xff" * 5000])
def test_a_damaged_entry_counts_as_missing(home: Path, cache: CompiledCache, damage: bytes) -> None:
    good = load(home, cache)
    entries = list(cache.directory.iterdir())
    assert len(entries) == 4
    for entry in entries:
        entry.write_bytes(damage)
    assert load(home, cache) == good
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-3])
    assert load(home, cache) == good
    for entry in entries:
        entry.unlink()
        entry.mkdir()
    assert load(home, cache) == good


def test_an_entry_that_means_something_else_is_not_believed(home: Path, cache: CompiledCache) -> None:
    good = load(home, cache)
    for entry in list(cache.directory.iterdir()):
        cache.write(entry.name, b'{"readable": true, "surprise": 1}')
    assert load(home, cache) == good


def test_a_directory_that_others_may_write_to_is_not_trusted(
    home: Path, tmp_path: Path, compiled: list[str]
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for _ in range(2):
        compiled.clear()
        load(home, CompiledCache(shared))
        assert sorted(compiled) == ["one", "templates/news", "templates/tips", "two"]
    assert list(shared.iterdir()) == []


def test_without_a_place_for_it_there_is_no_cache_and_all_works(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        assert load(home, CompiledCache(place)) == load(home)


def test_it_lies_where_the_desktop_standard_says() -> None:
    assert open_cache({}) is None
    assert open_cache({"XDG_CACHE_HOME": "relative"}) is None


def test_it_opens_under_the_users_cache(tmp_path: Path) -> None:
    for environment in ({"XDG_CACHE_HOME": f"{tmp_path}/.cache"}, {"HOME": str(tmp_path)}):
        cache = open_cache(environment)
        assert cache is not None
        assert cache.directory == tmp_path / ".cache" / "holdfast" / "compiled"
        assert cache.directory.stat().st_mode & 0o777 == 0o700


def test_it_never_grows_beyond_its_bounds_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "cache", most_entries=100, most_bytes=1_000_000)
    for number in range(130):
        cache.write(f"{number:04}", b"x")
        os.utime(cache.directory / f"{number:04}", (number, number))
    cache.trim()
    assert sorted(path.name for path in cache.directory.iterdir()) == [
        f"{number:04}" for number in range(55, 130)
    ]
    for number in range(130, 135):
        cache.write(f"{number:04}", b"x" * 300_000)
    cache.trim()
    assert sum(path.stat().st_size for path in cache.directory.iterdir()) <= 750_000
    assert cache.read("0134") == b"x" * 300_000


def test_what_is_used_again_counts_as_used(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "cache", most_entries=4)
    for number in range(5):
        cache.write(str(number), b"x")
        os.utime(cache.directory / str(number), (number, number))
    assert cache.read("0") == b"x"
    cache.trim()
    assert sorted(path.name for path in cache.directory.iterdir()) == ["0", "3", "4"]


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "cache")
    old, new = cache.directory / "a.1.new", cache.directory / "b.2.new"
    old.write_bytes(b"")
    new.write_bytes(b"")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    cache.write("c", b"x")
    cache.trim()
    assert sorted(path.name for path in cache.directory.iterdir()) == ["b.2.new", "c"]


def test_processes_may_fill_one_cache_at_the_same_time(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "many", 24)
    paths[7].write_text("playbook: [")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "cli.main", "validate", "--format", "json", str(tmp_path / "many")]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    told = {process.communicate(timeout=60) for process in running}
    assert len(told) == 1
    assert {process.returncode for process in running} == {1}
    entries = list((tmp_path / "cache" / "holdfast" / "compiled").iterdir())
    assert {len(entry.name) for entry in entries} == {64}
    kept = CompiledCache(tmp_path / "cache" / "holdfast" / "compiled")
    assert load(tmp_path / "many", kept) == load(tmp_path / "many")


def test_validate_keeps_what_it_compiled_unless_told_not_to(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    for arguments, anew in (([], 4), ([], 0), (["--no-cache"], 4), ([], 0)):
        compiled.clear()
        result = CliRunner().invoke(validate_command, [str(home), *arguments])
        assert (result.exit_code, result.stderr) == (0, "4 files checked: all good.\n")
        assert len(compiled) == anew
