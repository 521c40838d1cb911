"""When so many recipients complain that mailbox providers would begin to refuse everything.

Source: Gmail's and Yahoo's rules for senders: below 0.1 %, never 0.3 %.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

WINDOW = timedelta(days=7)
WARNING_SHARE = 0.001
HIGHEST_SHARE = 0.003
# One or two annoyed people among a few messages say nothing of a rate.
FEWEST_TO_WARN = 2
FEWEST_TO_PARK = 3


def judge_complaints(complaints: int, delivered: int) -> Literal["fine", "warn", "park"]:
    """What the complaints of WINDOW mean for marketing on the channel; delivered: messages of the same time."""
    share = complaints / max(delivered, complaints, 1)
    if complaints >= FEWEST_TO_PARK and share > HIGHEST_SHARE:
        return "park"
    return "warn" if complaints >= FEWEST_TO_WARN and share > WARNING_SHARE else "fine"
