"""Lists as CSV files, told line by line as they are read."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from fastapi.responses import StreamingResponse

# Each holds a connection to the database for as long as whoever saves it takes to read it: so many of the pool's.
AT_ONCE = 4
# A spreadsheet would take a text that begins so for a formula, and work it out; some turn wide signs into plain ones.
# And where decimals have a comma, what follows a semicolon is a cell of its own, quoted or not.
_FORMULA = re.compile("(^|[;|\\t\\r\\n])(?=[=+@\\-\uff1d\uff0b\uff0d\uff20])|^(?=[\\t\\r\\n])")


async def in_turn(turns: asyncio.Semaphore, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines, once there is a turn for them; it is given back with the last, or where nobody wants more."""
    async with turns:
        async for line in lines:
            yield line


def write_line(cells: Sequence[object]) -> bytes:
    """One line in UTF-8; moments to the second, in ISO 8601."""
    written = io.StringIO()
    csv.writer(written).writerow([_cell(cell) for cell in cells])
    return written.getvalue().encode()


def answer_csv(lines: AsyncIterator[bytes], filename: str) -> StreamingResponse:
    """The lines as a file to be saved under this name."""
    return StreamingResponse(
        lines,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _cell(cell: object) -> object:
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell
