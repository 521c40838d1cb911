"""A CSV file as columns: numbers where every value is one, categories otherwise, and every fault with its place."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Categories, Column, Flags, Floats, Integers, Numbers

MISSING = frozenset({"", "na", "n/a", "nan", "null", "#n/a"})
# From this share of numbers on, a text among them is a mistake rather than a name.
MOSTLY = 0.95
# Squares and products of what is larger would overflow.
LARGEST = 1e100
POSITIVES = frozenset({"1", "yes", "y", "true", "t", "churn", "churned"})
NEGATIVES = frozenset({"0", "no", "n", "false", "f", "retained", "active", "stayed"})
_CHUNK_ROWS = 20_000
_LARGEST_FIELD = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class CsvFile:
    """A file's header, and for each column its distinct texts and which of them each row has.

    `lines` holds the line on which each row ends.
    """

    path: str
    header: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    codes: tuple[Integers, ...]
    lines: array[int] = field(repr=False)

    @property
    def rows(self) -> int:
        """How many rows follow the header."""
        return len(self.lines)

    def place(self, name: str, what: str = "column") -> int:
        """Where the column of that name is. Raises InputError with the nearest names."""
        if name in self.header:
            return self.header.index(name)
        near = get_close_matches(name, self.header, n=3, cutoff=0.5) or get_close_matches(
            name.lower(), [one.lower() for one in self.header], n=3, cutoff=0.5
        )
        near = [one for one in self.header if one in near or one.lower() in near]
        hint = f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(self.header[:20])}."
        raise InputError(f"{self.path}:1: there is no {what} {name!r}.", remedy=hint)

    def text(self, name: str) -> list[str]:
        """The column's text in every row, as it stands in the file."""
        place = self.place(name)
        texts = self.texts[place]
        return [texts[code] for code in self.codes[place]]

    def fail(self, row: int, name: str, message: str, remedy: str) -> NoReturn:
        """Raise InputError about the value of a column in a row (from 0)."""
        place = self.place(name)
        raise InputError(
            f"{self.path}:{self.lines[row]}: column {place + 1} ({name}): {message}", remedy=remedy
        )


def read_csv(path: Path) -> CsvFile:
    """The file, UTF-8, with a header, separated by commas (or by semicolons or tabs if the header has no comma).

    Raises InputError for what can't be read: with the line, where there is one.
    """
    csv.field_size_limit(_LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            if not first.strip():
                raise InputError(f"{path} is empty.", remedy="Give it a header and rows.")
            separator = next((one for one in (",", ";", "\t") if one in first), ",")
            file.seek(0)
            return _read_rows(str(path), csv.reader(file, delimiter=separator, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.object[error.start]:#04x}: {error.reason}).",
            remedy="Save it as UTF-8, for example: iconv -f latin1 -t utf-8.",
        ) from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.", remedy="Check the path.") from None


class _Reader(Protocol):
    """What csv.reader returns, which has no public type."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def _read_rows(path: str, reader: _Reader) -> CsvFile:
    try:
        header = tuple(name.strip() for name in next(reader))
        _check_header(path, header)
        places: list[dict[str, int]] = [{} for _ in header]
        codes: list[list[Integers]] = [[] for _ in header]
        lines: array[int] = array("q")
        chunk: list[list[str]] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path}:{reader.line_num}: {len(row)} values where the header has {len(header)} columns.",
                    remedy="Quote values that hold the separator.",
                )
            lines.append(reader.line_num)
            chunk.append(row)
            if len(chunk) == _CHUNK_ROWS:
                _add(chunk, places, codes)
        _add(chunk, places, codes)
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: {error}.", remedy="Check the quotes around there."
        ) from None
    if not lines:
        raise InputError(f"{path} has a header but no rows.", remedy="Give it rows.")
    joined = tuple(np.concatenate(parts) for parts in codes)
    return CsvFile(path, header, tuple(tuple(texts) for texts in places), joined, lines)


def _check_header(path: str, header: Sequence[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(header, start=1):
        if not name and place > 1:
            raise InputError(f"{path}:1: column {place} has no name.", remedy="Name it in the header.")
        if name in seen:
            raise InputError(f"{path}:1: column {place} is the second called {name!r}.", remedy="Rename one.")
        seen.add(name)


def _add(chunk: list[list[str]], places: list[dict[str, int]], codes: list[list[Integers]]) -> None:
    """Move the rows of `chunk` into the columns."""
    if not chunk:
        # An empty column is still a column.
        for found in codes:
            found.append(np.empty(0, dtype=np.int64))
        return
    for values, texts, found in zip(zip(*chunk, strict=True), places, codes, strict=True):
        found.append(
            np.fromiter(
                (texts.setdefault(value.strip(), len(texts)) for value in values), np.int64, len(chunk)
            )
        )
    chunk.clear()


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
