"""The columns of a CSV file: numbers where every value is one, categories otherwise, and every fault with its place."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import numpy as np

from cli.csv_file import CsvFile
from schemas.errors import InputError
from scoring.churning.columns import Categories, Column, Flags, Floats, Integers, Numbers

MISSING = frozenset({"", "na", "n/a", "nan", "null", "#n/a"})
# From this share of numbers on, a text among them is a mistake rather than a name.
MOSTLY = 0.95
# Squares and products of what is larger would overflow.
LARGEST = 1e100
POSITIVES = frozenset({"1", "yes", "y", "true", "t", "churn", "churned"})
NEGATIVES = frozenset({"0", "no", "n", "false", "f", "retained", "active", "stayed"})


def read_features(
    file: CsvFile,
    names: Collection[str],
    *,
    as_text: Collection[str] = (),
    numeric: Collection[str] | None = None,
) -> dict[str, Column]:
    """These columns as a model takes them.

    A column is numeric if all its values are numbers, or if it is among `numeric` where that is given. Empty, NA,
    NaN and null are missing. Raises InputError for a text among numbers, and for infinities.
    """
    found: dict[str, Column] = {}
    for name in names:
        wanted = None if numeric is None else name in numeric
        found[name] = _read_column(file, name, False if name in as_text else wanted)
    return found


def _read_column(file: CsvFile, name: str, numeric: bool | None) -> Column:
    place = file.place(name)
    texts, codes = file.texts[place], file.codes[place]
    missing = np.array([text.lower() in MISSING for text in texts])
    if numeric is not False:
        values, unread = _parse(texts, missing)
        counts = np.bincount(codes, minlength=len(texts))
        seen = int(counts[~missing].sum())
        wrong = int(counts[unread].sum())
        if wrong and (numeric or (seen - wrong) / max(seen, 1) >= MOSTLY):
            row = int(np.flatnonzero(unread[codes])[0])
            file.fail(
                row, name, f"{texts[codes[row]]!r} is not a number, though {seen - wrong:,} of {seen:,} values are.",
                f"Correct it, leave it empty, or read the column as names with --text {name}."
                if numeric is None else "Correct it or leave it empty: the model takes this column as a number.",
            )  # fmt: skip
        with np.errstate(invalid="ignore"):
            endless = np.abs(values) > LARGEST
        if not wrong and endless.any():
            row = int(np.flatnonzero(endless[codes])[0])
            what = "is not finite" if np.isinf(values[codes[row]]) else "is too large to compute with"
            file.fail(row, name, f"{texts[codes[row]]!r} {what}.", "Correct it, or leave it empty.")
        if not wrong:
            return Numbers(values[codes])
    levels = tuple(sorted(text for text, gone in zip(texts, missing, strict=True) if not gone))
    order = {text: code for code, text in enumerate(levels)}
    lookup = np.array([order.get(text, -1) for text in texts], dtype=np.int64)
    return Categories(levels, lookup[codes])


def _parse(texts: Sequence[str], missing: Flags) -> tuple[Floats, Flags]:
    values = np.full(len(texts), np.nan)
    unread = np.zeros(len(texts), dtype=bool)
    for place, text in enumerate(texts):
        if missing[place]:
            continue
        try:
            values[place] = float(text) if "_" not in text else math.nan
        except ValueError:
            unread[place] = True
        else:
            unread[place] = math.isnan(values[place])
    return values, unread


def read_outcome(file: CsvFile, label: str, positive: str | None) -> tuple[Floats, str]:
    """1 where the label has its positive value, else 0, and that value as the file writes it.

    Raises InputError where the label is missing in a row, has one value or more than two, or where it isn't clear
    which is the positive one.
    """
    place = file.place(label, "column for the label")
    texts, codes = file.texts[place], file.codes[place]
    for code, text in enumerate(texts):
        if text.lower() in MISSING:
            row = int(np.flatnonzero(codes == code)[0])
            file.fail(row, label, "the label is missing.", "Fill it in, or leave the row out.")
    if len(texts) > 2:
        row = int(np.flatnonzero(codes == 2)[0])
        shown = ", ".join(repr(text) for text in texts[:5])
        file.fail(
            row, label, f"a third value: the label has {len(texts):,} values ({shown}{', …' * (len(texts) > 5)}).",
            "A label has two values; name another column, or make two of them.",
        )  # fmt: skip
    if len(texts) == 1:
        raise InputError(
            f"{file.path}: {label} is {texts[0]!r} in every row: there is nothing to tell apart.",
            remedy="A label has two values.",
        )
    chosen = _positive_of(file.path, label, texts, positive)
    return (codes == texts.index(chosen)).astype(np.float64), chosen


def _positive_of(path: str, label: str, texts: Sequence[str], positive: str | None) -> str:
    if positive is not None:
        same = [text for text in texts if text == positive] or [
            text for text in texts if text.lower() == positive.lower() or _equal_numbers(text, positive)
        ]
        if same:
            return same[0]
        raise InputError(
            f"{path}: {label} is never {positive!r}; it is {texts[0]!r} or {texts[1]!r}.",
            remedy="Give one of these to --positive.",
        )
    for one, other in (texts, texts[::-1]):
        said, unsaid = _plain(one), _plain(other)
        if said in POSITIVES and (unsaid not in POSITIVES or unsaid in NEGATIVES):
            return one
        if unsaid in NEGATIVES and said not in NEGATIVES:
            return one
    raise InputError(
        f"{path}: {label} is {texts[0]!r} or {texts[1]!r}, and which of them is churn isn't clear.",
        remedy="Say so with --positive VALUE.",
    )


def _plain(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text.lower().rstrip(".")
    return "1" if number == 1 else "0" if number == 0 else text


def _equal_numbers(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def check_ids(file: CsvFile, name: str, time: str | None = None) -> None:
    """Raises InputError where an id is missing or, with the same time if there is one, appears twice."""
    seen: dict[tuple[str, str], int] = {}
    times = file.text(time) if time else [""] * file.rows
    for row, (text, moment) in enumerate(zip(file.text(name), times, strict=True)):
        if not text:
            file.fail(row, name, "the id is missing.", "Fill it in.")
        before = seen.setdefault((text, moment), row)
        if before != row:
            when = f" at {moment}" if time else ""
            file.fail(
                row, name, f"{text!r}{when} appears a second time; the first is on line {file.lines[before]}.",
                "Ids are unique" + (" per time." if time else "; for several rows per customer use --group."),
            )  # fmt: skip


def read_groups(file: CsvFile, name: str) -> Integers:
    """Each row's group as a number from 0. Raises InputError where it is missing."""
    place = file.place(name, "column for the group")
    codes = file.codes[place]
    if "" in file.texts[place]:
        row = int(np.flatnonzero(codes == file.texts[place].index(""))[0])
        file.fail(row, name, "the group is missing.", "Fill it in.")
    return codes


def read_times(file: CsvFile, name: str) -> Floats:
    """Each row's time: days since 1970 for dates and times (ISO 8601), else the numbers as they stand."""
    place = file.place(name, "column for the time")
    texts, codes = file.texts[place], file.codes[place]
    values = np.empty(len(texts))
    dated = [_parse_date(text) for text in texts]
    numbers = [_parse_number(text) for text in texts]
    parsed = numbers if None not in numbers else dated
    for code, value in enumerate(parsed):
        if value is None:
            row = int(np.flatnonzero(codes == code)[0])
            file.fail(row, name, f"{texts[code]!r} is no time.", "Write it as 2026-03-31, or as a number.")
        values[code] = value
    found: Floats = values[codes]
    return found


def _parse_date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / 86400


def _parse_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    # Eight figures are a date without hyphens.
    if len(text) == 8 and text.isdigit() and _parse_date(text) is not None:
        return None
    return value if math.isfinite(value) else None
