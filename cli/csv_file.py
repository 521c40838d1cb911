"""A CSV file as its distinct texts and which of them each row has, and every fault with its place."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Integers

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
