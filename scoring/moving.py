"""What new events make of a customer's stored signals: the one definition, for whoever takes events in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from schemas.incoming import IncomingEvent, Movement, Mover
from scoring.signals import move_signals, tally_events


def make_mover(catalogue: Catalogue) -> Mover:
    """The function that `store.intake` moves signals on with, for this catalogue."""

    def move(
        stored: Mapping[str, Value], stamps: Mapping[str, datetime], incoming: Sequence[IncomingEvent]
    ) -> Movement:
        events = [Event(one.name, one.at, one.traits or one.properties) for one in incoming]
        moved = move_signals(stored, stamps, events, catalogue)
        tallies = [
            (tally.day, tally.name, tally.detail, tally.count, tally.total)
            for tally in tally_events(events, catalogue)
        ]
        return Movement(moved.signals, moved.stamps, tallies)

    return move
