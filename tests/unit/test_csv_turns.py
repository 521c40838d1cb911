"""Exports take turns: whoever saves one slowly keeps no more connections from the others than a few. And what stands in
them is text to every spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator

import pytest

from web.csv_export import in_turn, write_line


async def lines(open_now: set[str], name: str) -> AsyncIterator[bytes]:
    open_now.add(name)
    try:
        yield name.encode()
        yield b"end"
    finally:
        open_now.discard(name)


async def test_what_has_no_turn_waits_until_one_is_given_back() -> None:
    turns, open_now = asyncio.Semaphore(1), set[str]()
    first, second = (in_turn(turns, lines(open_now, name)) for name in ("first", "second"))
    assert await anext(first) == b"first"
    waiting = asyncio.ensure_future(anext(second))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.05)
    assert open_now == {"first"}
    assert [line async for line in first] == [b"end"]
    assert await waiting == b"second"
    # Nobody wants the rest.
    await second.aclose()  # type: ignore[attr-defined]
    assert not turns.locked()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@a",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "a;=1+1",
        "a\t=1+1",
        "a|=1+1",
        'a";=1+1',
        "a\n=1+1",
    ],
)
def test_no_spreadsheet_takes_a_name_for_a_formula(text: str, separator: str) -> None:
    for line in ([text, "b"], ["b", text]):
        cells = csv.reader(io.StringIO(write_line(line).decode(), newline=""), delimiter=separator)
        for cell in (cell for row in cells for cell in row):
            assert not cell.startswith(("=", "+", "-", "@", "\uff1d")), cell


def test_what_holds_nothing_of_that_kind_is_written_as_it_is() -> None:
    assert (
        write_line(["Ada & Co", 1, -2.5, None, True, 'a "b", c']) == b'Ada & Co,1,-2.5,,True,"a ""b"", c"\r\n'
    )
