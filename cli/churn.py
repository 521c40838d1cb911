"""`holdfast churn`: churn models on any table, fitted, used and judged; and what the live one is worth."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.churn_task import choose_folds, read_task
from schemas.errors import InputError

# Small matrices gain nothing from more threads, and one thread adds up in one order: the same bytes on any machine
# of its kind. It must be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

Decorated = Callable[..., Any]

DATA = click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, metavar="F.csv",
    help="A CSV file, UTF-8, with a header; one row per customer, or per customer and time.",
)  # fmt: skip
ID = click.option("--id", "id_", metavar="COL", help="The column that names the row; not learned from.")
LEARNING = (
    click.option(
        "--label", required=True, metavar="COL", help="The column that says who churned; two values."
    ),
    click.option(
        "--positive", metavar="VALUE", help="The label's value that means churn, if it isn't plain."
    ),
    ID,
    click.option(
        "--group", metavar="COL", help="Rows with the same value, such as a customer's, are never split."
    ),
    click.option(
        "--time", "time_", metavar="COL", help="When the row was taken: a date, a time or a number."
    ),
    click.option(
        "--drop", multiple=True, metavar="COL…", help="A column to do without; several, or give it again."
    ),
    click.option("--text", multiple=True, metavar="COL", help="A column of numbers that are names."),
    click.option("--anchor", metavar="COL", help="A number, such as a health score, that needs no proof."),
    click.option("--rules/--no-rules", default=True, show_default=True, help="Look for rules, too."),
    click.argument("more", nargs=-1, metavar=""),
)


DATA_OR_LIVE = click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F.csv",
    help="A CSV file, UTF-8, with a header; left out: the history of the live database.",
)  # fmt: skip
DATA_OR_CUSTOMER = click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F.csv",
    help="A CSV file, UTF-8, with a header; one row per customer.",
)  # fmt: skip
LABEL_OF_DATA = click.option("--label", metavar="COL", help="The column that says who churned; two values.")


def learning_options(command_: Decorated) -> Decorated:
    """The options of what learns."""
    for option in reversed(LEARNING):
        command_ = option(command_)
    return DATA(command_)


def judging_options(command_: Decorated) -> Decorated:
    """The same of what judges, which needs no file."""
    for option in reversed((LABEL_OF_DATA, *LEARNING[1:])):
        command_ = option(command_)
    return DATA_OR_LIVE(command_)


@click.group(name="churn")
def command() -> None:
    """Churn models on any table: a penalised logistic regression that explains every prediction.

    \b
    Example:
      holdfast churn evaluate --data customers.csv --label churned --id customer
      holdfast churn fit --data customers.csv --label churned --id customer --model churn.json
      holdfast churn predict --data today.csv --id customer --model churn.json --output risk.csv
    """


@command.command()
@learning_options
@click.option(
    "--model", "target", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-",
    metavar="M.json", help="Where to write the model; standard output if left out.",
)  # fmt: skip
def fit(
    data: Path, label: str, positive: str | None, id_: str | None, group: str | None, time_: str | None,
    drop: tuple[str, ...], text: tuple[str, ...], anchor: str | None, rules: bool, more: tuple[str, ...],
    target: Path,
) -> None:  # fmt: skip
    """Learn a model from a table and write it as JSON; the same table gives the same bytes.

    \b
    Example:
      holdfast churn fit --data customers.csv --label churned --id customer --model churn.json
    """
    from scoring.churning.artifact import version_of, write_model
    from scoring.churning.fitting import fit as learn

    task = read_task(data, label, positive, id_, group, time_, (drop, more), text, anchor, rules, _say)
    fitted = learn(task.table, task.outcome, task.settings, groups=task.groups, say=_say)
    written = write_model(fitted.model)
    _say(f"model {version_of(fitted.model)}: {len(written):,} bytes, {len(fitted.model.columns)} columns")
    _write(target, written)


@command.command()
@DATA_OR_CUSTOMER
@click.option("--customer", metavar="WHO", help="A customer of the live database instead, predicted now.")
@click.option("--label", metavar="COL", help="Left aside if the file has it.")
@ID
@click.option(
    "--model", "source", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="M.json",
    help="A model that `holdfast churn fit` wrote; - is standard input. Of customers it is the one that serves.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-", metavar="FILE",
    help="Where to write; standard output if left out.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True,
    help="One line per row, as CSV or JSON; of a customer, in words or JSON.",
)  # fmt: skip
def predict(
    data: Path | None, customer: str | None, label: str | None, id_: str | None, source: Path | None, output: Path,
    form: str,
) -> None:  # fmt: skip
    """Write each row's probability of churn and the three strongest reasons for it.

    Reasons are on the log-odds scale: base + the three effects + other = log_odds, to the last digit written, and
    probability = 1 / (1 + exp(-log_odds)). A reason is an association, not a cause.

    With --customer it is what the running system says of that customer: the probability within the policy's horizon,
    every reason, what to do, and what is at stake.

    \b
    Examples:
      holdfast churn predict --data today.csv --id customer --model churn.json --output risk.csv
      holdfast churn predict --customer supplier-17
    """
    if customer is not None:
        _predict_live(customer, form)
        return
    if data is None or source is None:
        raise click.UsageError(f"Missing option '--{'model' if data else 'data'}' (or --customer).")
    from cli.churn_predictions import csv_lines, json_lines, predict_rows
    from cli.churn_table import check_ids
    from cli.csv_file import read_csv
    from scoring.churning.artifact import read_model

    name = "standard input" if str(source) == "-" else str(source)
    try:
        with click.open_file(str(source), "rb") as stream:
            model = read_model(stream.read(), name)
    except OSError as error:
        raise click.UsageError(f"{name} can't be read: {error.strerror}.") from error
    file = read_csv(data)
    if id_ is not None:
        file.place(id_)
        check_ids(file, id_)
    if label is not None:
        file.place(label)
    rows = predict_rows(model, file, id_, _say)
    lines = json_lines(rows) if form == "json" else csv_lines(rows, id_)
    _write(output, "".join(lines).encode())


@command.command()
@judging_options
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, metavar="K")
@click.option(
    "--gap", type=click.FloatRange(min=0), default=0.0, metavar="DAYS",
    help="With --time: rows less than this before a fold are not learned from, as their label wasn't known yet.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw calibration and gains: FILE.svg, FILE.png or FILE.pdf.",
)  # fmt: skip
def evaluate(
    data: Path | None, label: str | None, positive: str | None, id_: str | None, group: str | None,
    time_: str | None, drop: tuple[str, ...], text: tuple[str, ...], anchor: str | None, rules: bool,
    more: tuple[str, ...], folds: int, gap: float, form: str, picture: Path | None,
) -> None:  # fmt: skip
    """Say how well a model predicts rows that it has not seen, fold by fold.

    Folds are forward in time with --time, keep groups together with --group, and else each have their share of
    churn. Everything is learned anew in each fold; every figure is of predictions for rows held back.

    Without --data it is the customers of the live database, as `holdfast train` learns from them: the newest months
    that can be judged, each predicted from what was known before it, beside the health score and the rule of thumb.

    \b
    Examples:
      holdfast churn evaluate --data customers.csv --label churned --id customer --picture churn.svg
      holdfast churn evaluate --format json
    """
    if data is None:
        _evaluate_live(form, picture)
        return
    if label is None:
        raise click.UsageError("Missing option '--label'.")
    from scoring.churning.evaluation import evaluate as measure_folds
    from scoring.churning.inspection import inspect

    if gap and time_ is None:
        raise click.UsageError("--gap is about time: give --time, too.")
    if picture is not None:
        from loops.backtest.picture import check_picture

        check_picture(picture)
    task = read_task(data, label, positive, id_, group, time_, (drop, more), text, anchor, rules, _say)
    for note in inspect(task.table, task.outcome)[1]:
        _say(f"{note.column} {note.message}" + ("; left out" if note.left_out else ""))
    chosen = choose_folds(task, folds, gap)
    result = measure_folds(task.table, task.outcome, chosen, task.settings, groups=task.groups, say=_say)
    if form == "json":
        click.echo(json.dumps(result.to_json()))
    else:
        from cli.churn_telling import describe

        for line in describe(result):
            click.echo(line)
    if picture is not None:
        from cli.churn_picture import draw

        draw(result, picture, title=f"{label} in {data.name}")
        _say(f"the picture is in {picture}")


def _predict_live(customer: str, form: str) -> None:
    """The same of one customer of the live database."""
    _refuse_others("customer", "form")
    from cli.customer_scores import print_prediction

    print_prediction(customer, form)


def _evaluate_live(form: str, picture: Path | None) -> None:
    """The same of the live database."""
    _refuse_others("form", "picture")
    from schemas.settings import Settings

    url = Settings.read(os.environ).require_database_url()
    if picture is not None:
        from loops.backtest.picture import check_picture

        check_picture(picture)
    from cli.churn_live import evaluate_live, print_live

    found = evaluate_live(url, _say)
    print_live(found, form)
    if picture is not None:
        from cli.churn_picture import draw

        draw(found.evaluation, picture, title=f"leaving within {found.evaluation_days} days")
        _say(f"the picture is in {picture}")


def _refuse_others(*allowed: str) -> None:
    """Options that say something of a file have no place where there is none."""
    context = click.get_current_context()
    for name, value in context.params.items():
        if (
            context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
            and name not in allowed
            and value
        ):
            shown = {"id_": "id", "time_": "time", "source": "model"}.get(name, name)
            hint = "leave --customer out" if "customer" in allowed else "give --data, too"
            raise click.UsageError(f"--{shown} is about a file: {hint}.")


def _write(target: Path, written: bytes) -> None:
    try:
        with click.open_file(str(target), "wb") as stream:
            stream.write(written)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{target} can't be written: {error.strerror}.", remedy="Check the path.") from error
    if str(target) != "-":
        _say(f"written to {target}")


def _say(line: str) -> None:
    if line:
        click.echo(line, err=True)
