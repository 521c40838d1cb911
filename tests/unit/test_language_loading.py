"""Loading directories and files, and the commands `holdfast validate` and `holdfast schema`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from activities.registry import find_step_types
from cli.schema import command as schema_command
from cli.validate import command as validate_command
from schemas.catalogue import load_catalogue
from schemas.errors import SettingError
from schemas.loader import Loaded, load_paths, load_playbooks
from schemas.policy import Cap, Policy, WorkingHours

ROOT = Path(__file__).parents[2]
GOOD = "playbook: {name}\ntitle: T\nowner: cs-ops\nstatus: draft\nsteps:\n  - email: tips\n"
TIPS = "template: tips\nemail: {subject: Tips, text: Some.}\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "tips.yaml").write_text(TIPS)
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(GOOD.format(name=name))
    return tmp_path


def load(directory: Path) -> Loaded:
    return load_playbooks(directory, load_catalogue(), find_step_types())


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(validate_command, [str(argument) for argument in arguments])


def test_the_playbooks_that_ship_are_good() -> None:
    loaded = load(ROOT / "playbooks")
    assert loaded.problems == []
    assert len(loaded.playbooks) >= 6
    assert loaded.playbooks.keys() == loaded.sources.keys()


def test_one_bad_file_never_stops_the_others(home: Path) -> None:
    (home / "bad.yaml").write_text("playbook: [")
    (home / "worse.yaml").write_bytes(b"\x00\xff")
    (home / "policy.yaml").write_text("default_zone: Nowhere\n")
    loaded = load(home)
    assert sorted(loaded.playbooks) == ["one", "two"]
    assert loaded.invalid == {"bad", "worse"}
    assert loaded.policy is None
    assert {Path(problem.file).name for problem in loaded.problems} == {
        "bad.yaml",
        "worse.yaml",
        "policy.yaml",
    }
    assert loaded.sources["one"] == GOOD.format(name="one")


def test_the_policy_is_read_and_without_one_nothing_governs(home: Path) -> None:
    assert load(home).policy == Policy()
    (home / "policy.yaml").write_text(
        "default_zone: Europe/Berlin\nquiet_hours: 21:00-08:00\ncaps: {total: 3 per 7d, sms: 1 per 3d}\n"
        "entries: 2 per 7d\nconsent: {email: assumed, sms: required, topics: [tips]}\nholdout: 5%\n"
        "working_hours: {days: weekdays, between: '08:30-17:00'}\ncosts: {email: 0.001, csm_minute: 1}\n"
        "critical_in_quiet_hours: true\nunknown: {critical: again}\n"
    )
    loaded = load(home)
    assert loaded.problems == []
    assert loaded.policy == Policy(
        default_zone="Europe/Berlin", quiet_hours=(1260, 480), critical_in_quiet_hours=True,
        caps={"total": Cap(times=3, seconds=604800), "sms": Cap(times=1, seconds=259200)},
        entries=Cap(times=2, seconds=604800), topics=("tips",),
        consent={"email": "assumed", "sms": "required"},
        holdout_percent=5.0, working_hours=WorkingHours(weekdays=(1, 2, 3, 4, 5), between=(510, 1020)),
        costs={"email": 0.001, "csm_minute": 1.0}, unknown={"critical": "again"},
    )  # fmt: skip


def test_a_broken_template_is_told_once_and_keeps_its_playbooks_back(home: Path) -> None:
    (home / "templates" / "tips.yaml").write_text("template: tips\nemail: {text: Some.}\n")
    loaded = load(home)
    assert [(Path(p.file).name, p.code) for p in loaded.problems] == [("tips.yaml", "PB303")]
    assert (loaded.playbooks, loaded.invalid) == ({}, {"one", "two"})
    alone = load_paths([home / "one.yaml"], load_catalogue(), find_step_types())
    assert [(Path(p.file).name, p.code) for p in alone.problems] == [("tips.yaml", "PB303")]


def test_of_files_that_were_not_named_only_what_matters_is_told(home: Path) -> None:
    (home / "templates" / "unused.yaml").write_text("template: x\n")
    (home / "two.yaml").write_text("playbook: [")
    alone = load_paths([home / "one.yaml"], load_catalogue(), find_step_types())
    assert (alone.problems, list(alone.playbooks), alone.files) == ([], ["one"], 1)


def test_two_playbooks_of_one_name_are_refused(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.yaml").write_text("playbook: one\ntitle: T\nowner: o\nstatus: draft\nsteps: [{wait: 1d}]\n")
    loaded = load_paths([home / "one.yaml", other], load_catalogue(), find_step_types())
    assert [problem.code for problem in loaded.problems] == ["PB220"]


def test_a_path_that_is_not_there_is_an_error_with_the_nearest_name(home: Path) -> None:
    with pytest.raises(SettingError, match=r"one\.yaml"):
        load_paths([home / "ones.yaml"], load_catalogue(), find_step_types())


def test_files_that_are_not_read_are_named(home: Path) -> None:
    (home / "three.yml").write_text(GOOD.format(name="three"))
    (home / ".hidden.yaml").write_text("[")
    (problem,) = load(home).problems
    assert (problem.code, problem.severity, Path(problem.file).name) == ("PB014", "warning", "three.yml")


def test_a_link_into_nothing_is_a_problem(home: Path) -> None:
    (home / "gone.yaml").symlink_to(home / "nowhere.yaml")
    assert [problem.code for problem in load(home).problems] == ["PB014"]


def test_validate_says_all_is_good(home: Path) -> None:
    result = run("--playbooks", home)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "3 files checked: all good.\n"


def test_validate_prints_one_object_per_problem(home: Path) -> None:
    (home / "one.yaml").write_text(
        GOOD.format(name="one").replace("email: tips", "emial: tips") + "  - wait: 0d\n"
    )
    result = run(home, "--format", "json")
    assert result.exit_code == 1
    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert first == {
        "file": str(home / "one.yaml"), "line": 6, "column": 5, "severity": "error", "code": "PB102",
        "path": "steps[0].emial", "message": "There is no `emial` in a step.",
        "hint": "Did you mean `email`?",
    }  # fmt: skip
    assert (second["line"], second["column"], second["code"]) == (7, 11, "PB104")
    assert "2 errors" in result.stderr


def test_validate_speaks_plainly_in_text(home: Path) -> None:
    (home / "one.yaml").write_text(GOOD.format(name="one").replace("tips", "tipps"))
    result = run(home / "one.yaml")
    assert result.exit_code == 1
    assert result.stdout == (
        f"{home}/one.yaml:6:12: error PB301 at steps[0].email\n"
        "    There is no template `tipps`.\n    Did you mean `tips`?\n"
    )


def test_validate_lets_warnings_pass(home: Path) -> None:
    (home / "one.yaml").write_text(GOOD.format(name="one") + "  - stop: lost\n  - wait: 1d\n")
    result = run(home)
    assert result.exit_code == 0
    assert "warning PB232" in result.stdout
    assert "0 errors, 1 warning" in result.stderr


def test_validate_takes_names_of_playbooks(home: Path) -> None:
    (home / "two.yaml").write_text("[")
    assert run("one", "--playbooks", home).exit_code == 0
    assert run("two", "--playbooks", home).exit_code == 1


def test_validate_used_wrongly_exits_with_2(home: Path) -> None:
    result = run(home / "three.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "There is no" in result.stderr
    assert run("--format", "xml").exit_code == 2


def test_hostile_files_end_in_an_error(home: Path) -> None:
    (home / "one.yaml").write_text("a: " + "x" * 10_000_000)
    (home / "two.yaml").write_text("[" * 20_000)
    result = run(home, "--format", "json")
    assert result.exit_code == 1
    assert [json.loads(line)["code"] for line in result.stdout.splitlines()] == ["PB002", "PB003"]


def test_the_schemas_in_the_repository_are_up_to_date(tmp_path: Path) -> None:
    assert CliRunner().invoke(schema_command, ["--check"]).exit_code == 0
    result = CliRunner().invoke(schema_command, ["--check", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(schema_command, ["--out", str(tmp_path)]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "health.schema.json", "milestones.schema.json", "playbook.schema.json", "playbook-test.schema.json",
        "policy.schema.json", "template.schema.json",
    }  # fmt: skip
    (tmp_path / "policy.schema.json").write_text("{}")
    assert CliRunner().invoke(schema_command, ["--check", "--out", str(tmp_path)]).exit_code == 1
