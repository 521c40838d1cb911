"""Customers' facts as commands take them: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click

from schemas.catalogue import Catalogue
from schemas.facts import Facts
from schemas.facts_json import FactsError, read_facts


class FactsLines:
    """The lines of a file (`-`: of standard input); `failed` once one couldn't be used, which is told as it is met."""

    def __init__(self, file: str, catalogue: Catalogue) -> None:
        self._file = file
        self._catalogue = catalogue
        self.failed = False

    def __iter__(self) -> Iterator[Facts]:
        # One moment for all lines that name none.
        now = datetime.now(UTC)
        with click.open_file(self._file, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield read_facts(line, self._catalogue, now=now)
                except FactsError as error:
                    self.failed = True
                    click.echo(f"{self._file}:{number}: {error.message}", err=True)
