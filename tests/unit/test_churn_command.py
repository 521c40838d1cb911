"""`holdfast churn`: fit, predict and evaluate on files, and a plain word about every bad one."""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal
from pathlib import Path

import pytest

from cli.churn_table import read_features
from cli.csv_file import read_csv
from cli.main import run
from scoring.churning.columns import Categories, Numbers
from tests.unit.churn_customers import write_customers

ASIDE = ["--label", "churned", "--id", "id", "--drop", "customer", "--drop", "month"]


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_customers(tmp_path_factory.mktemp("churn") / "customers.csv", 900)


@pytest.fixture(scope="module")
def model(customers: Path) -> Path:
    path = customers.parent / "churn.json"
    assert run(["churn", "fit", "--data", str(customers), *ASIDE, "--model", str(path)]) == 0
    return path


def test_fit_writes_the_same_bytes_again_and_to_standard_output(
    customers: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["churn", "fit", "--data", str(customers), *ASIDE]) == 0
    out, err = capfdbinary.readouterr()
    assert out == model.read_bytes()
    assert json.loads(out)["format"] == "holdfast-churn/1"
    assert b"fitting" in err


def test_a_dropped_column_changes_no_byte(customers: Path, model: Path, tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(customers.read_text())))
    wider = tmp_path / "wider.csv"
    with wider.open("w", newline="") as file:
        csv.writer(file).writerows([[*row, "secret" if not n else n % 7] for n, row in enumerate(rows)])
    target = tmp_path / "model.json"
    arguments = ["churn", "fit", "--data", str(wider), "--label", "churned", "--id", "id"]
    assert run([*arguments, "--drop", "customer", "month", "secret", "--model", str(target)]) == 0
    assert target.read_bytes() == model.read_bytes()


def test_predictions_carry_three_reasons_that_add_up_to_the_last_digit(
    customers: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["churn", "predict", "--data", str(customers), "--id", "id", "--model", str(model)]
    assert run(arguments) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert len(rows) == 900
    assert [row["id"] for row in rows[:2]] == ["r0", "r1"]
    for row in rows:
        parts = ["base", "effect_1", "effect_2", "effect_3", "other"]
        assert sum(Decimal(row[part]) for part in parts) == Decimal(row["log_odds"])
        assert float(row["probability"]) == pytest.approx(
            1 / (1 + math.exp(-float(row["log_odds"]))), abs=1e-6
        )
        assert all(row[f"reason_{rank}"] for rank in (1, 2, 3))
        assert abs(Decimal(row["effect_1"])) >= abs(Decimal(row["effect_2"])) >= abs(Decimal(row["effect_3"]))

    assert run([*arguments, "--format", "json"]) == 0
    first = json.loads(capfd.readouterr().out.splitlines()[0])
    assert first["id"] == "r0"
    assert first["probability"] == float(rows[0]["probability"])
    assert [one["reason"] for one in first["reasons"]] == [rows[0][f"reason_{rank}"] for rank in (1, 2, 3)]


@pytest.mark.parametrize("more", [[], ["--group", "customer"], ["--time", "month", "--gap", "31"]])
def test_evaluate_prints_the_promised_json(
    customers: Path, more: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["churn", "evaluate", "--data", str(customers), "--label", "churned", "--id", "id", *more]
    dropped = [name for name in ("customer", "month") if name not in more]
    assert run([*arguments, "--drop", ",".join(dropped), "--folds", "3", "--format", "json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert list(found) == ["rows", "majority", "folds", "overall"]
    figures = ["auc", "accuracy", "log_loss", "brier", "ece", "recall_at_10", "lift_at_10"]
    assert list(found["overall"]) == figures
    assert len(found["folds"]) == 3
    assert all(set(figures) < set(fold) for fold in found["folds"])
    assert found["rows"] == sum(fold["rows"] for fold in found["folds"])
    assert found["rows"] == 900 if "--time" not in more else 500 < found["rows"] < 900
    assert found["overall"]["auc"] > 0.62


def test_evaluate_tells_and_draws(customers: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "churn.svg"
    arguments = [
        "churn",
        "evaluate",
        "--data",
        str(customers),
        *ASIDE,
        "--folds",
        "2",
        "--picture",
        str(picture),
    ]
    assert run(arguments) == 0
    told = capfd.readouterr().out
    assert "majority" in told
    assert "Always saying the more frequent outcome" in told
    drawn = picture.read_bytes()
    assert b"calibration" in drawn
    assert b"gains" in drawn
    assert run(arguments) == 0
    assert picture.read_bytes() == drawn


GOOD = "id,label,x\n" + "".join(f"{n},{int(n % 3 == 0)},{n % 7}\n" for n in range(60))


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", [], "is empty"),
        ("id,label,x\n", [], "no rows"),
        (GOOD + "60,1\n", [], "bad.csv:62: 2 values where the header has 3"),
        (GOOD + '60,1,"3\n', [], "bad.csv:62: unexpected end of data"),
        (GOOD.replace("id,label,x", "id,label,label"), [], "column 3 is the second called 'label'"),
        (GOOD.replace("id,label,x", "id,labels,x"), [], "Did you mean labels?"),
        (GOOD, ["--drop", "y"], "bad.csv:1: there is no column 'y'"),
        (GOOD + "60,,3\n", [], "bad.csv:62: column 2 (label): the label is missing"),
        (GOOD + "60,NaN,3\n", [], "the label is missing"),
        (GOOD + "60,2,3\n", [], "bad.csv:62: column 2 (label): a third value"),
        ("id,label,x\n" + "".join(f"{n},0,{n}\n" for n in range(60)), [], "nothing to tell apart"),
        ("id,label,x\n" + "".join(f"{n},{int(n < 5)},{n % 9}\n" for n in range(60)), [], "5 of 60 rows"),
        (GOOD + "7,1,3\n", ["--id", "id"], "62: column 1 (id): '7' appears a second time; the first is on line 9"),
        (GOOD + "60,1,many\n", [], "bad.csv:62: column 3 (x): 'many' is not a number, though 60 of 61"),
        (GOOD + "60,1,inf\n", [], "bad.csv:62: column 3 (x): 'inf' is not finite"),
        (GOOD + "60,1,1e200\n", [], "bad.csv:62: column 3 (x): '1e200' is too large"),
        (GOOD.replace(",1,", ",left,").replace(",0,", ",stay,"), [], "--positive VALUE"),
        (GOOD, ["--positive", "2"], "label is never '2'"),
        (GOOD, ["--drop", "x", "--id", "id"], "no column left"),
        (GOOD, ["--time", "x", "--anchor", "x"], "anchor x is no numeric column"),
    ],
)  # fmt: skip
def test_bad_files_are_told_with_their_place(
    text: str, arguments: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert run(["churn", "fit", "--data", str(path), "--label", "label", *arguments]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "internal error" not in err


def test_bytes_that_are_no_text_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(GOOD.encode() + b"60,1,caf\xe9\n")
    assert run(["churn", "fit", "--data", str(path), "--label", "label"]) == 1
    assert "is not UTF-8" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["fit"], ["fit", "--data", "nowhere.csv", "--label", "x"], ["evaluate", "--folds", "1"], ["nonsense"]],
)
def test_wrong_use_exits_2(arguments: list[str]) -> None:
    assert run(["churn", *arguments]) == 2


def test_leaks_are_told_and_left_out(
    customers: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.reader(io.StringIO(customers.read_text())))
    path = tmp_path / "leak.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [[*row, "gone" if not n else {"yes": 1, "no": 0}[row[-1]]] for n, row in enumerate(rows)]
        )
    assert run(["churn", "evaluate", "--data", str(path), *ASIDE, "--folds", "2", "--format", "json"]) == 0
    out, err = capfd.readouterr()
    assert "gone tells the label by itself" in err
    assert json.loads(out)["overall"]["auc"] < 0.95


def test_predict_names_what_is_missing_and_refuses_other_files(
    customers: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "today.csv"
    path.write_text("id,login,tickets,price,plan,city\n1,2,3,4,pro,city1\n")
    assert run(["churn", "predict", "--data", str(path), "--model", str(model)]) == 1
    err = capfd.readouterr().err
    assert "'logins'" in err
    assert "Did you mean login?" in err
    path.write_text("logins,tickets,price,plan,city\n1,2,3,pro,city1\n1,x,3,pro,city1\n")
    assert run(["churn", "predict", "--data", str(path), "--model", str(model)]) == 1
    assert "today.csv:3: column 2 (tickets): 'x' is not a number" in capfd.readouterr().err
    assert run(["churn", "predict", "--data", str(path), "--model", str(customers)]) == 1
    assert "is no churn model" in capfd.readouterr().err


def test_a_table_that_tells_nothing_gives_everybody_the_average(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, target = tmp_path / "flat.csv", tmp_path / "flat.json"
    path.write_text("same,left\n" + "".join(f"1,{int(n % 4 == 0)}\n" for n in range(80)))
    assert run(["churn", "fit", "--data", str(path), "--label", "left", "--model", str(target)]) == 0
    assert "same has one value only; left out" in capfd.readouterr().err
    assert run(["churn", "predict", "--data", str(path), "--model", str(target)]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.25] * 80)
    assert run(["churn", "evaluate", "--data", str(path), "--label", "left", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["overall"]["auc"] == pytest.approx(0.5, abs=0.01)


def test_columns_are_read_as_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text('\ufeffa;b;c\n1;"x;y";10\n;NA;20\n2.5e3;z;NaN\n')
    table = read_features(read_csv(path), ["a", "b", "c"], as_text=["c"])
    numbers, names, codes = table["a"], table["b"], table["c"]
    assert isinstance(numbers, Numbers)
    assert numbers.values[[0, 2]].tolist() == [1.0, 2500.0]
    assert math.isnan(numbers.values[1])
    assert isinstance(names, Categories)
    assert (names.levels, names.codes.tolist()) == (("x;y", "z"), [0, -1, 1])
    assert isinstance(codes, Categories)
    assert codes.levels == ("10", "20")
