"""Commands of `holdfast` carried out in the test's own process: a process of their own would mostly import."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from cli.main import run

# What names another system, or is another's secret.
OURS = ("HOLDFAST_", "TEMPORAL_", "TWILIO_", "SMTP_")


def command(
    *arguments: str, environ: Mapping[str, str] | None = None, directory: Path | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    """Exit status, output and errors of `holdfast ARGUMENTS` in `directory`, with `environ` and none of ours beside it.

    It runs an event loop of its own: from a test that has one, call it in a thread.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    output, errors = StringIO(), StringIO()
    with (
        chdir(directory or Path.cwd()),
        patch.dict(os.environ, {**kept, **(environ or {})}, clear=True),
        patch.object(sys, "stdin", StringIO(stdin)),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        status = run(arguments)
    return status, output.getvalue(), errors.getvalue()
