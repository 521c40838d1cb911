"""The one place through which every process of ours ends."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import NoReturn

# Processes that used the Temporal SDK abort now and then while the interpreter takes itself down (its threads
# still want it), though their work succeeded. Letting them settle and skipping the take-down avoids it.
SETTLE_SECONDS = 0.3


def leave(code: int) -> NoReturn:
    """End this process with exit status `code`: settle, flush, and go without taking the interpreter down."""
    if "temporalio" in sys.modules:
        time.sleep(SETTLE_SECONDS)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (
            OSError,
            ValueError,
        ):  # the reader is gone, or the stream is closed: nothing left to tell anybody
            continue
    os._exit(code)
