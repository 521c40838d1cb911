"""Files that somebody wrote by mistake or by malice end in an error with a place, and stop nobody else's."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import schemas.file_compiler
from activities.registry import find_step_types
from loops.simulation.trials import collect
from schemas.catalogue import load_catalogue
from schemas.errors import Problem
from schemas.loader import Loaded, load_paths, load_playbooks
from schemas.problem_limit import MOST_CHARACTERS, MOST_PROBLEMS
from schemas.yaml_file import read_file

ROOT = Path(__file__).parents[2]
VALIDATING_SECONDS = 150
GOOD = "playbook: good\ntitle: T\nowner: cs-ops\nstatus: draft\nsteps:\n  - wait: 3d\n"
HEAD = "playbook: bad\ntitle: T\nowner: o\nstatus: draft\n"
STEPS = f"{HEAD}steps:\n"
LAST = "steps: [{wait: 1d}]\n"
WHEN = f"{HEAD}enter:\n  when:\n"


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


# What the file holds, and the code of a problem that it has to end in.
PLAYBOOKS: dict[str, tuple[str | bytes, str]] = {
    "bomb of aliases": (bomb(10), "PB009"),
    "20,000 aliases": ("a: &a {b: x}\n" + "".join(f"a{i}: {{c: *a, d: *a}}\n" for i in range(20_000)), "PB009"),
    "9,000 times one step": (f"{STEPS}  - &a {{if: {{plan: pro}}, then: [wait: 1d]}}\n" + "  - *a\n" * 9000, "PB242"),
    "anchor inside itself": ("a: &x [1, *x]", "PB009"),
    "40,000 anchors": ("\n".join(f"a{i}: &a{i} x" for i in range(40_000)), "PB015"),
    "ten megabytes": ("a: " + "x" * 10_000_000, "PB002"),
    "500,000 brackets": ("[" * 500_000, "PB003"),
    "200,000 mappings": ("{a: " * 200_000, "PB003"),
    "200,000 items inside each other": ("- " * 200_000, "PB003"),
    "deep by indentation": (
        STEPS + "".join(f"{'  ' * (2 * i + 1)}- if: {{plan: pro}}\n{'  ' * (2 * i + 2)}then:\n" for i in range(40)),
        "PB003",
    ),
    "33,000 steps": (STEPS + "  - wait: 1d\n" * 33_000, "PB242"),
    "33,000 misspelt steps": (STEPS + "  - wiat: 1d\n" * 33_000, "PB015"),
    "95,000 numbers as steps": (STEPS + "  - 1\n" * 95_000, "PB015"),
    "100,001 values": (f"{HEAD}about: [" + "1, " * 100_001 + "]\n" + LAST, "PB002"),
    "95,000 wrong values": (f"{WHEN}    plan: [" + "1, " * 95_000 + "]\n" + LAST, "PB015"),
    "33,000 unknown signals": (
        f"{WHEN}    any:\n" + "".join(f"      - signal{i}: {i}\n" for i in range(33_000)) + LAST, "PB015",
    ),
    "60,000 unknown keys": (HEAD + "".join(f"key{i}: 1\n" for i in range(60_000)) + LAST, "PB015"),
    "60,000 lines of a condition": (WHEN + "".join(f"    key{i}: 1\n" for i in range(60_000)) + LAST, "PB015"),
    "90,000 times one key": (HEAD + "title: x\n" * 90_000, "PB015"),
    "95,000 misspelt words": (f"{WHEN}    plan: [" + "True, " * 95_000 + "]\n", "PB015"),
    "40,000 outcomes": (
        f"{STEPS}  - email: x\n    outcomes:\n" + "".join(f"      o{i}: nxt\n" for i in range(40_000)), "PB015",
    ),
    "15,000 bad variants": (
        f"{STEPS}  - experiment: x\n    variants:\n"
        + "".join(f"      o{i}: {{weight: 1, steps: [1]}}\n" for i in range(15_000)),
        "PB015",
    ),
    "25,000 fallbacks inside": (
        f"{STEPS}  - wait: 1d\n    outcomes: {{a: {{fallback: [" + "{wait: 0d}, " * 25_000 + "]}}\n", "PB015",
    ),
    "merge keys": (f"{HEAD}<<: {{a: 1}}\n{LAST}", "PB008"),
    "60,000 merge keys": (HEAD + "<<: {a: 1}\n" * 60_000, "PB015"),
    "a tag that runs a program": (f"{HEAD}x: !!python/object/apply:os.system ['touch owned']\n", "PB010"),
    "30,000 tags": (STEPS + "  - !!python/name:os.system x\n" * 30_000, "PB010"),
    "a tag of one's own": (f"{HEAD}x: !secret y\n", "PB010"),
    "50,000 documents": (HEAD + "---\na: 1\n" * 50_000, "PB012"),
    "a key of 900,000 characters": (f"? {'k' * 900_000}\n: 1\n{HEAD}{LAST}", "PB107"),
    "a signal of 900,000 characters": (f"{WHEN}    ? {'s' * 900_000}\n    : 1\n{LAST}", "PB107"),
    "a status of 900,000 characters": (HEAD.replace("draft", "d" * 900_000) + LAST, "PB104"),
    "a title of 900,000 characters": (HEAD.replace("title: T", "title: " + "t" * 900_000) + LAST, "PB107"),
    "a number of 900,000 digits": (f"{STEPS}  - wait: {'9' * 900_000}\n", "PB007"),
    "a duration of 5,000 digits": (f'{STEPS}  - wait: "{"9" * 5_000} hours"\n', "PB104"),
    "a comparison with 900,000 digits": (f'{WHEN}    health_score: "< {"9" * 900_000}"\n{LAST}', "PB205"),
    "a range of 5,000 digits": (f'{WHEN}    health_score: "{"8" * 5_000}..{"9" * 5_000}"\n{LAST}', "PB205"),
    "an unknown word of 900,000 characters": (f'{WHEN}    plan: {"x" * 900_000}\n    emial: 1\n{LAST}', "PB201"),
    "900,000 empty lines": (HEAD + "\n" * 900_000 + "x: 1\n", "PB102"),
    "240,000 comments": (HEAD + "# x\n" * 240_000 + "x: 1\n", "PB102"),
    "a quote that never ends": (f'{HEAD}about: "' + "x\n" * 400_000, "PB001"),
    "300,000 colons": (f"{HEAD}about: " + "a: " * 300_000, "PB001"),
    "90,000 tabs": (f"{HEAD}enter:\n" + "\twhen: 1\n" * 90_000, "PB005"),
    "NUL": (f"{HEAD}x: \x00\n", "PB004"),
    "only NUL": (b"\x00" * 900_000, "PB004"),
    "every byte": (bytes(range(256)) * 3_000, "PB004"),
    "a picture": (b"\x89PNG\r\n\x1a\n" * 1_000, "PB004"),
    "Latin-1": (b"playbook: caf\xe9\n", "PB004"),
    "UTF-16": (GOOD.encode("utf-16"), "PB004"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "PB004"),
    "half of a surrogate pair": ("a: \ud800".encode("utf-8", "surrogatepass"), "PB004"),
    "terminal control": (b"a: \x1b[31m", "PB004"),
    "nothing": (b"", "PB013"),
    "only a comment": (b"# x\n", "PB013"),
    "20 loops in a text": (f'{STEPS}  - email: {{subject: x, text: "{"{% for a in customer.x %}" * 20}"}}\n', "PB306"),
    "powers in a text": (f"{STEPS}  - email: {{subject: x, text: '{{{{ 9**9**9**9 }}}}'}}\n", "PB306"),
    "40,000 tags in a text": (f'{STEPS}  - email: {{subject: x, text: "{"{{ a }}" * 40_000}"}}\n', "PB306"),
    "15,000 texts with a fault": (
        STEPS + "".join("  - email: {subject: x, text: '{{ customer.nix }}'}\n" for _ in range(15_000)), "PB015",
    ),
}  # fmt: skip

TEMPLATE = "template: bad\nemail:\n  subject: x\n"
WHATSAPP = "template: bad\nwhatsapp:\n  content_sid: x\n  variables:\n"
TEMPLATES: dict[str, tuple[str | bytes, str]] = {
    "powers": (f"{TEMPLATE}  text: '{{{{ 9**9**9**9 }}}}'\n", "PB306"),
    "a multiplied text": (f"{TEMPLATE}  text: \"{{{{ 'x' * 10**10 }}}}\"\n", "PB306"),
    "a huge range": (f"{TEMPLATE}  text: '{{{{ range(10**9) }}}}'\n", "PB306"),
    "a loop without an end": (f"{TEMPLATE}  text: '{{% for a in range(10**9) %}}x{{% endfor %}}'\n", "PB306"),
    "500 loops inside each other": (
        f"{TEMPLATE}  text: '{'{% for a in customer.x %}' * 500}x{'{% endfor %}' * 500}'\n", "PB306",
    ),
    "a template that includes itself": (f"{TEMPLATE}  text: \"{{% include 'bad' %}}\"\n", "PB306"),
    "a macro that calls itself": (
        f"{TEMPLATE}  text: '{{% macro m() %}}{{{{ m() }}}}{{% endmacro %}}{{{{ m() }}}}'\n", "PB306",
    ),
    "a way out of the sandbox": (f"{TEMPLATE}  text: '{{{{ customer.__class__.__mro__ }}}}'\n", "PB306"),
    "parentheses": (f"{TEMPLATE}  text: '{{{{ {'(' * 10_000}1{')' * 10_000} }}}}'\n", "PB306"),
    "3,000 faults": (f"{TEMPLATE}  text: |\n" + "    {{ a }}\n" * 3_000, "PB306"),
    "25,000 variables with a fault": (
        WHATSAPP + "".join(f"    v{i}: '{{{{ customer.nix }}}}'\n" for i in range(25_000)), "PB015",
    ),
    "38 texts of 990 tags and a fault": (
        WHATSAPP + "".join(f"    v{i}: '{'{{ customer.first_name }}' * 990}{{{{ x }}}}'\n" for i in range(38)), "PB306",
    ),
    "bomb of aliases": (bomb(10), "PB009"),
    "500,000 brackets": ("[" * 500_000, "PB003"),
    "ten megabytes": ("a: " + "x" * 10_000_000, "PB002"),
    "60,000 unknown keys": ("template: bad\n" + "".join(f"key{i}: 1\n" for i in range(60_000)), "PB015"),
    "not UTF-8": (b"\xff\xfe", "PB004"),
    "a tag": ("template: !!python/object/apply:os.system ['touch owned']\n", "PB010"),
}  # fmt: skip

POLICIES: dict[str, tuple[str | bytes, str]] = {
    "bomb of aliases": (bomb(10), "PB009"),
    "500,000 brackets": ("[" * 500_000, "PB003"),
    "ten megabytes": ("a: " + "x" * 10_000_000, "PB002"),
    "60,000 unknown keys": ("".join(f"key{i}: 1\n" for i in range(60_000)), "PB015"),
    "60,000 topics": ("consent: {topics: [" + "X, " * 60_000 + "]}\n", "PB015"),
    "a zone of 900,000 characters": ("default_zone: " + "Z" * 900_000 + "\n", "PB401"),
    "a zone that leads out of the directory": ("default_zone: ../../../etc/passwd\n", "PB401"),
    "a zone with NUL": ('default_zone: "Europe/\\0Berlin"\n', "PB401"),
    "not UTF-8": (b"\xff\xfe", "PB004"),
    "a cap of 5,000 digits": (f'caps: {{total: "{"9" * 5_000} per 7d"}}\n', "PB104"),
    "a share of 5,000 digits": (f"holdout: {'9' * 5_000}%\n", "PB104"),
}


TEST = "playbook: good\ntests:\n"
PLAYBOOK_TESTS: dict[str, tuple[str | bytes, str]] = {
    "bomb of aliases": (bomb(10), "PB009"),
    "500,000 brackets": ("[" * 500_000, "PB003"),
    "ten megabytes": ("a: " + "x" * 10_000_000, "PB002"),
    "every byte": (bytes(range(256)) * 3_000, "PB004"),
    "60,000 unknown keys": (TEST + "  - name: a\n" + "".join(f"    key{i}: 1\n" for i in range(60_000)), "PB015"),
    "20,000 tests of nothing": (TEST + "  - {name: a}\n" * 20_000, "PB015"),
    "20,000 expectations of nothing": (
        f"{TEST}  - name: a\n    expect:\n" + "      - {nothing: sent}\n" * 20_000, "PB015",
    ),
    "a tag": (f"{TEST}  - !!python/object/apply:os.system ['touch owned']\n", "PB010"),
}  # fmt: skip


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def crowd(home: Path) -> Path:
    """One good playbook in `home`, among things that are no files."""
    write(home / "good.yaml", GOOD)
    (home / "directory.yaml").mkdir()
    os.mkfifo(home / "pipe.yaml")
    (home / "device.yaml").symlink_to("/dev/zero")
    (home / "nowhere.yaml").symlink_to(home / "gone")
    (home / "circle.yaml").symlink_to(home / "circle.yaml")
    (home / "templates").mkdir()
    os.mkfifo(home / "templates" / "pipe.yaml")
    (home / "templates" / "circle.yaml").symlink_to("circle.yaml")
    os.mkfifo(home / "policy.yaml")
    return home


def hostile(directory: Path, what: str, kinds: dict[str, tuple[str | bytes, str]]) -> Path:
    """Where the file of this kind lies."""
    return directory / f"hostile-{list(kinds).index(what):02}.yaml"


@dataclass
class Validating:
    """A `holdfast validate` under way; what it prints goes to `out` and `err`."""

    home: Path
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    _problems: dict[Path, list[Problem]] = field(default_factory=dict)

    def told(self) -> dict[Path, list[Problem]]:
        """Every problem that it told, by file, once it is done."""
        if not self._problems:
            self.process.wait(timeout=VALIDATING_SECONDS)
            for line in self.out.read_bytes().splitlines():
                problem = Problem(**json.loads(line))
                self._problems.setdefault(Path(problem.file), []).append(problem)
        return self._problems


@pytest.fixture(scope="module", autouse=True)
def validating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validating]:
    """All hostile files in one directory, read in bounded memory by one process."""
    home, told = crowd(tmp_path_factory.mktemp("crowd")), tmp_path_factory.mktemp("told")
    for what, (content, _) in PLAYBOOKS.items():
        write(hostile(home, what, PLAYBOOKS), content)
    for what, (content, _) in TEMPLATES.items():
        write(hostile(home / "templates", what, TEMPLATES), content)
    odd = os.fsencode(home) + b"/caf\xe9.yaml"
    Path(os.fsdecode(odd)).write_text(GOOD)

    def bound_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000, 1_200_000_000))

    out, err = told / "out", told / "err"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "validate", "--no-cache", "--format", "json", str(home)],
            cwd=ROOT, stdout=out_file, stderr=err_file, preexec_fn=bound_memory,
        )  # fmt: skip
    yield Validating(home, process, out, err)
    process.kill()
    process.wait()


def load(*paths: Path) -> Loaded:
    return load_paths(paths, load_catalogue(), find_step_types())


def check_places(problems: list[Problem]) -> None:
    assert 1 <= len(problems) <= MOST_PROBLEMS + 1
    files = {problem.file: Path(problem.file).read_bytes().split(b"\n") for problem in problems[:1]}
    for problem in problems:
        lines = files[problem.file]
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.message
        assert max(map(len, (problem.message, problem.hint, problem.path))) <= MOST_CHARACTERS + 1


@pytest.mark.parametrize("what", PLAYBOOKS)
def test_a_hostile_playbook_ends_in_an_error_with_a_place(what: str, validating: Validating) -> None:
    problems = validating.told()[hostile(validating.home, what, PLAYBOOKS)]
    check_places(problems)
    assert PLAYBOOKS[what][1] in {problem.code for problem in problems if problem.severity == "error"}


@pytest.mark.parametrize("what", TEMPLATES)
def test_a_hostile_template_ends_in_an_error_with_a_place(what: str, validating: Validating) -> None:
    problems = validating.told()[hostile(validating.home / "templates", what, TEMPLATES)]
    check_places(problems)
    assert TEMPLATES[what][1] in {problem.code for problem in problems if problem.severity == "error"}


@pytest.mark.parametrize(
    "what", ["bomb of aliases", "500,000 brackets", "33,000 steps", "merge keys", "a tag that runs a program", "NUL",
             "nothing", "a signal of 900,000 characters", "20 loops in a text"],
)  # fmt: skip
def test_a_hostile_playbook_is_the_only_one_that_is_invalid(what: str, tmp_path: Path) -> None:
    content, code = PLAYBOOKS[what]
    loaded = load(write(tmp_path / "bad.yaml", content), write(tmp_path / "good.yaml", GOOD))
    check_places(loaded.problems)
    assert code in {problem.code for problem in loaded.problems if problem.severity == "error"}
    assert (list(loaded.playbooks), loaded.invalid) == (["good"], {"bad"})


@pytest.mark.parametrize(
    "what", ["powers", "a way out of the sandbox", "parentheses", "500,000 brackets", "a tag"]
)
def test_a_hostile_template_is_the_only_one_that_is_left_out(what: str, tmp_path: Path) -> None:
    content, code = TEMPLATES[what]
    write(tmp_path / "templates" / "fine.yaml", "template: fine\nsms: {text: Hello}\n")
    write(tmp_path / "templates" / "bad.yaml", content)
    write(tmp_path / "good.yaml", GOOD)
    loaded = load(tmp_path)
    check_places(loaded.problems)
    assert code in {problem.code for problem in loaded.problems if problem.severity == "error"}
    assert (list(loaded.playbooks), list(loaded.templates)) == (["good"], ["fine"])


@pytest.mark.parametrize("what", POLICIES)
def test_a_hostile_policy_ends_in_an_error_with_a_place(what: str, tmp_path: Path) -> None:
    content, code = POLICIES[what]
    write(tmp_path / "policy.yaml", content)
    write(tmp_path / "good.yaml", GOOD)
    loaded = load(tmp_path)
    check_places(loaded.problems)
    assert code in {problem.code for problem in loaded.problems if problem.severity == "error"}
    assert (list(loaded.playbooks), loaded.policy) == (["good"], None)


@pytest.mark.parametrize("what", PLAYBOOK_TESTS)
def test_a_hostile_file_of_tests_ends_in_an_error_with_a_place(what: str, tmp_path: Path) -> None:
    content, code = PLAYBOOK_TESTS[what]
    write(tmp_path / "good.yaml", GOOD)
    fine = write(tmp_path / "tests" / "good.yaml", f"{TEST}  - {{name: he waits, never: [email: sent]}}\n")
    bad = write(tmp_path / "tests" / "bad.yaml", content)
    collected = collect([bad, fine], tmp_path)
    check_places(collected.problems)
    assert code in {problem.code for problem in collected.problems}
    assert [tests.file for tests, _ in collected.files] == [str(fine)]


def test_a_pipe_among_the_tests_is_an_error_and_nobody_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    os.mkfifo(tmp_path / "tests" / "pipe.yaml")
    (problem,) = collect([tmp_path / "tests" / "pipe.yaml"], tmp_path).problems
    assert problem.code == "PB014"


@pytest.mark.parametrize(
    "what", ["bomb of aliases", "500,000 brackets", "ten megabytes", "every byte", "nothing"]
)
def test_a_hostile_file_of_any_other_kind_is_read_as_safely(what: str, tmp_path: Path) -> None:
    source, problems = read_file(write(tmp_path / "any.yaml", PLAYBOOKS[what][0]))
    assert source is None
    assert [problem.code for problem in problems] == [PLAYBOOKS[what][1]]
    check_places(problems)


def test_line_ends_of_any_system_are_fine(tmp_path: Path) -> None:
    loaded = load(
        write(tmp_path / "good.yaml", GOOD.replace("\n", "\r\n")),
        write(tmp_path / "other.yaml", GOOD.replace("good", "other").replace("\n", "\r")),
    )
    assert loaded.problems == []
    assert sorted(loaded.playbooks) == ["good", "other"]


def test_problems_beyond_the_first_200_are_one_more_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.yaml", STEPS + "  - wiat: 1d\n" * 300)
    problems = load(path).problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert [problem.code for problem in problems[:-1]] == ["PB102"] * MOST_PROBLEMS
    assert (problems[-1].code, problems[-1].line, problems[-1].column) == ("PB015", 206, 5)


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    return crowd(tmp_path)


def test_what_is_no_file_is_an_error_and_nobody_waits_for_it(crowded: Path) -> None:
    loaded = load_playbooks(crowded, load_catalogue(), find_step_types())
    told = {(Path(p.file).relative_to(crowded).as_posix(), p.code, p.line, p.column) for p in loaded.problems}
    names = (
        "directory", "pipe", "device", "nowhere", "circle", "policy", "templates/pipe", "templates/circle",
    )  # fmt: skip
    assert told == {(f"{name}.yaml", "PB014", 1, 1) for name in names}
    assert list(loaded.playbooks) == ["good"]
    assert loaded.policy is None


@pytest.mark.parametrize(
    "name", ["pipe.yaml", "device.yaml", "circle.yaml", "templates/pipe.yaml", "policy.yaml"]
)
def test_naming_such_a_thing_is_the_same_error(crowded: Path, name: str) -> None:
    (problem,) = load(crowded / name).problems
    assert (problem.code, problem.file) == ("PB014", str(crowded / name))


def test_a_template_that_is_no_file_keeps_its_playbook_back(crowded: Path) -> None:
    path = write(crowded / "user.yaml", GOOD.replace("good", "user") + "  - email: pipe\n")
    loaded = load(path)
    assert [(Path(problem.file).name, problem.code) for problem in loaded.problems] == [
        ("pipe.yaml", "PB014")
    ]
    assert loaded.invalid == {"user"}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, where the tests have them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_an_error() -> None:
    catalogue, step_types = load_catalogue(), find_step_types()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        # Whatever the umask of whoever runs this.
        write(home / "good.yaml", GOOD).chmod(0o644)
        write(home / "secret.yaml", GOOD).chmod(0)
        write(home / "templates" / "tips.yaml", "template: tips\n")
        (home / "templates").chmod(0)
        write(home / "closed" / "inner.yaml", GOOD)
        (home / "closed").chmod(0)
        with as_nobody():
            loaded = load_playbooks(home, catalogue, step_types)
            closed = load_paths([home / "closed"], catalogue, step_types)
            inner = load_paths([home / "closed" / "inner.yaml"], catalogue, step_types)
        for directory in ("templates", "closed"):
            (home / directory).chmod(0o700)
    told = [(Path(problem.file).name, problem.code) for problem in loaded.problems]
    assert told == [("secret.yaml", "PB014"), ("templates", "PB014")]
    assert list(loaded.playbooks) == ["good"]
    assert [(Path(problem.file).name, problem.code) for problem in closed.problems] == [("closed", "PB014")]
    assert [(Path(problem.file).name, problem.code) for problem in inner.problems] == [
        ("inner.yaml", "PB014")
    ]


def test_a_file_that_nobody_foresaw_is_one_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compile_playbook = schemas.file_compiler.compile_playbook

    def stumble(source: object, *given: object, name: str, **more: object) -> object:
        if name == "bad":
            raise RecursionError("maximum recursion depth exceeded")
        return compile_playbook(source, *given, name=name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(schemas.file_compiler, "compile_playbook", stumble)
    write(tmp_path / "bad.yaml", GOOD.replace("good", "bad"))
    write(tmp_path / "good.yaml", GOOD)
    with caplog.at_level(logging.ERROR):
        loaded = load(tmp_path)
    (problem,) = loaded.problems
    assert (Path(problem.file).name, problem.line, problem.column, problem.code) == (
        "bad.yaml",
        1,
        1,
        "PB016",
    )
    assert "RecursionError" in problem.message
    assert (list(loaded.playbooks), loaded.invalid) == (["good"], {"bad"})
    assert "Traceback" in caplog.text


def test_validate_stands_a_directory_of_them_in_bounded_memory(validating: Validating) -> None:
    code, errors = validating.process.wait(timeout=VALIDATING_SECONDS), validating.err.read_bytes()
    assert code == 1, errors.decode()[-2000:]
    assert validating.told().keys() == {*validating.home.rglob("*.yaml")} - {validating.home / "good.yaml"}
    assert b"Traceback" not in errors
