"""Strict YAML: what values mean, where they stand, and that hostile files end in an error, nothing else."""

import pytest

from schemas.errors import PlaybookError
from schemas.yaml_source import MAX_LEVELS, load_bytes, load_yaml, read_yaml


def data_of(text: str) -> object:
    return load_yaml(text, "file.yaml").data


def codes_of(text: str) -> list[str]:
    return [problem.code for problem in read_yaml(text, "file.yaml")[1]]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True), ("false", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"),
        ("null", None), ("~", None), ("", None),
        ("10:30", "10:30"), ("21:00", "21:00"), ("9:00", "9:00"), ("2026-03-01", "2026-03-01"),
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"), ("1_000", "1_000"), ("=", "="),
        ("0", 0), ("-0", 0), ("40", 40), ("+5", 5), ("-3", -3), ("0.7", 0.7), (".5", 0.5), ("1e3", 1000.0),
        ("9007199254740992", 2**53), ("40..60", "40..60"), ("< 40", "< 40"), ("3d", "3d"), ("10%", "10%"),
        ('"40"', "40"), ("'true'", "true"), ("'010'", "010"), ("!!str 40", "40"), ("+49 30 1", "+49 30 1"),
    ],
)  # fmt: skip
def test_a_value_means_what_it_looks_like(written: str, meant: object) -> None:
    value = data_of(f"key: {written}")
    assert value == {"key": meant}
    assert type(value["key"]) is type(meant)  # type: ignore[index]


def test_on_is_a_plain_key() -> None:
    assert data_of("on: login\nno: x\ny: z") == {"on": "login", "no": "x", "y": "z"}


@pytest.mark.parametrize(
    "written",
    ["True", "TRUE", "False", "Null", ".nan", ".NaN", ".inf", "-.inf", "010", "-007", "00.5",
     "0x1F", "0o17", "0b1", "9007199254740993", "1" * 5000, "1e999"],
)  # fmt: skip
def test_what_is_easily_misread_is_refused_with_a_hint(written: str) -> None:
    _, problems = read_yaml(f"a: 1\nkey:   {written}", "file.yaml")
    assert [(p.code, p.line, p.column, p.path) for p in problems] == [("PB007", 2, 8, "key")]
    assert problems[0].hint


def test_every_fault_is_told_in_one_pass_and_reading_goes_on() -> None:
    source, problems = read_yaml("a: True\na: 2\n<<: {x: 1}\n1: y\nb: 010\nc: fine", "file.yaml")
    assert [p.code for p in problems] == ["PB007", "PB006", "PB008", "PB011", "PB007"]
    assert source is not None
    assert source.data["a"] is True
    assert source.data["c"] == "fine"


def test_a_repeated_key_is_an_error_at_any_depth_and_names_the_first() -> None:
    _, problems = read_yaml("steps:\n  - wait: 1d\n    id: a\n    wait: 2d\n", "file.yaml")
    assert [(p.code, p.line, p.column, p.path) for p in problems] == [("PB006", 4, 5, "steps[0].wait")]
    assert "line 2" in problems[0].message


def test_aliases_stand_for_what_they_name() -> None:
    source = load_yaml("a: &x {plan: pro}\nb: *x\nc: [*x, *x]", "file.yaml")
    assert source.data == {
        "a": {"plan": "pro"},
        "b": {"plan": "pro"},
        "c": [{"plan": "pro"}, {"plan": "pro"}],
    }
    assert source.place(("b",)) == (2, 4)
    assert source.place(("b", "plan")) == (1, 14)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert codes_of("\n".join(lines)) == ["PB009"]


def test_an_alias_that_contains_itself_is_refused() -> None:
    assert codes_of("a: &x [1, *x]") == ["PB009"]
    assert codes_of("a: &x {b: {c: *x}}") == ["PB009"]


def test_aliases_cannot_hide_depth() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 80)]
    assert codes_of("\n".join(lines)) == ["PB003"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_20000_openings_end_in_one_error(opening: str) -> None:
    assert codes_of(opening * 20_000) in (["PB003"], ["PB011"])


def test_fifty_levels_are_allowed_and_one_more_is_not() -> None:
    assert codes_of("[" * MAX_LEVELS + "]" * MAX_LEVELS) == []
    assert codes_of("[" * (MAX_LEVELS + 1) + "]" * (MAX_LEVELS + 1)) == ["PB003"]


def test_size_is_bounded_in_bytes_and_in_values() -> None:
    assert codes_of("a: " + "x" * 999_990) == []
    assert codes_of("a: " + "x" * 10_000_000) == ["PB002"]
    assert codes_of("a: " + "é" * 600_000) == ["PB002"]
    assert codes_of("[" + "1," * 400_000 + "1]") == ["PB002"]
    with pytest.raises(PlaybookError, match="PB002"):
        load_bytes(b"a: " + b"x" * 1_000_000, "file.yaml")


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"\xef\xbb\xbfa: 1", "PB004", 1, 1),
        (b"a: 1\nb: \xff\xfe", "PB004", 2, 4),
        (b"a: \xc3\xa4\nb: x\x00y", "PB004", 2, 5),
        (b"\x89PNG\r\n\x1a\n", "PB004", 1, 1),
        (b"a: \x1b[31m", "PB004", 1, 4),
        (b"a:\n\tb: 1", "PB005", 2, 1),
        (b"a:\n  - x\n \t- y", "PB005", 3, 2),
        ("a: \ud800".encode("utf-8", "surrogatepass"), "PB004", 1, 4),
    ],
)
def test_what_is_no_clean_text_is_told_at_its_place(
    content: bytes, code: str, line: int, column: int
) -> None:
    with pytest.raises(PlaybookError) as caught:
        load_bytes(content, "file.yaml")
    assert [(p.code, p.line, p.column) for p in caught.value.problems] == [(code, line, column)]


def test_a_tab_inside_a_text_is_no_fault() -> None:
    assert data_of('a: "x\ty"\nb: |\n  one\ttwo\n') == {"a": "x\ty", "b": "one\ttwo\n"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: >= 60", '">= 60"'), ("a: > 7", '"> 7"'), ("plan: != free", '"!= free"'),
        ("a: Hello: you", "quotes"), ("a: {{ name }}", "{{ customer.first_name }}"), ("a: *** new", "quotes"),
        ("a: @home", "quotes"), ("a: `code`", "quotes"), ("a: %s", "quotes"), ("a: 'it", "Close"),
        ("a: [1, 2", "Close"), ("a:\n  - b\n c: 1", "column"),
    ],
)  # fmt: skip
def test_what_people_trip_over_is_explained(text: str, hint: str) -> None:
    _, problems = read_yaml(text, "file.yaml")
    assert len(problems) == 1
    assert hint in problems[0].hint


def test_keys_and_values_know_their_places() -> None:
    source = load_yaml(
        "# top\nenter:\n  when:\n    plan: [pro, business]\nsteps:\n  - wait: 3d\n", "file.yaml"
    )
    assert source.key_place(("enter", "when", "plan")) == (4, 5)
    assert source.place(("enter", "when", "plan")) == (4, 11)
    assert source.place(("enter", "when", "plan", 1)) == (4, 17)
    assert source.key_place(("steps", 0, "wait")) == (6, 5)
    assert source.place(("steps", 0, "nothing")) == (6, 5)
    assert source.place(()) == (2, 1)


@pytest.mark.parametrize(
    "text",
    ["a: one two three\n", 'a: "one two three"\n', "a: 'one two three'\n", "a: |\n  one\n  two three\n",
     "a: >\n  one\n  two\n  three\n", "a: |-\n\n    one\n\n    two three\n", 'a: "\n  one\n  two three"\n'],
)  # fmt: skip
def test_a_position_inside_a_text_is_found_in_the_file(text: str) -> None:
    source = load_yaml(text, "file.yaml")
    value = source.data["a"]
    for word in ("one", "two", "three"):
        before = value[: value.index(word)]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        found_line, found_column = source.text_place(("a",), line, column)
        assert text.split("\n")[found_line - 1][found_column - 1 :].startswith(word)
