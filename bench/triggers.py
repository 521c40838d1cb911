"""Triggers like those that people write: three to six lines, thresholds on round numbers, some groups."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.population import EVENTS, FLAGS, HISTORIES, NUMBERS, TEXTS, TIMES
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Change,
    Compare,
    Condition,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
)

DAY_SECONDS = 86_400


def make_triggers(count: int, *, plain: bool = False, seed: int = 3) -> dict[str, Condition]:
    """`count` triggers by name; `plain` ones look at present numbers, texts and flags only, which every rival can."""
    dice = random.Random(seed)
    return {f"playbook-{index:04d}": _trigger(dice, plain) for index in range(count)}


def _trigger(dice: random.Random, plain: bool) -> Condition:
    lines = [_line(dice, plain) for _ in range(dice.choice((2, 3, 3, 4, 5)))]
    if dice.random() < 0.35:
        lines.append(AnyOf(items=tuple(_line(dice, plain) for _ in range(dice.choice((2, 2, 3))))))
    if dice.random() < 0.25:
        lines.append(NoneOf(items=tuple(_line(dice, plain) for _ in range(dice.choice((1, 1, 2))))))
    return AllOf(items=tuple(lines))


def _line(dice: random.Random, plain: bool) -> Condition:
    drawers: tuple[tuple[float, Callable[[random.Random], Condition]], ...] = (
        (0.40, _compared), (0.12, _between), (0.12, _text), (0.12, _texts), (0.04, _flag), (0.04, _presence),
    )  # fmt: skip
    if not plain:
        drawers += ((0.06, _age), (0.04, _crossing), (0.03, _change), (0.10, _count))
    weights = [weight for weight, _ in drawers]
    return dice.choices([draw for _, draw in drawers], weights)[0](dice)


def _threshold(dice: random.Random, signal: str) -> int | float:
    """One of nineteen round values of the signal's range."""
    highest = NUMBERS[signal]
    part = highest * dice.randrange(1, 20) / 20
    return int(part) if isinstance(highest, int) else round(part, 2)


def _compared(dice: random.Random) -> Condition:
    signal = dice.choice(list(NUMBERS))
    operators = ("lt", "le", "gt", "ge", "ge", "eq", "ne")
    return Compare(signal=signal, op=dice.choice(operators), value=_threshold(dice, signal))


def _between(dice: random.Random) -> Condition:
    signal = dice.choice(list(NUMBERS))
    low, high = sorted((_threshold(dice, signal), _threshold(dice, signal)))
    return Between(signal=signal, low=low, high=high)


def _text(dice: random.Random) -> Condition:
    signal = dice.choice(list(TEXTS))
    return Compare(signal=signal, op=dice.choice(("eq", "eq", "ne")), value=dice.choice(TEXTS[signal]))


def _texts(dice: random.Random) -> Condition:
    signal = dice.choice(list(TEXTS))
    return OneOf(signal=signal, values=tuple(sorted(dice.sample(TEXTS[signal], 2))))


def _flag(dice: random.Random) -> Condition:
    return Compare(signal=dice.choice(FLAGS), op="eq", value=dice.random() < 0.5)


def _presence(dice: random.Random) -> Condition:
    return Presence(signal=dice.choice(list(NUMBERS)), present=dice.random() < 0.8)


def _age(dice: random.Random) -> Condition:
    days = dice.choice((1, 3, 7, 14, 30, 45, 60))
    if dice.random() < 0.5:
        return Age(
            signal=next(iter(TIMES)), op=dice.choice(("older_than", "within")), seconds=days * DAY_SECONDS
        )
    return Age(signal="renewal_date", op="due_within", seconds=days * DAY_SECONDS)


def _crossing(dice: random.Random) -> Condition:
    signal = dice.choice(HISTORIES)
    highest, direction = NUMBERS[signal], dice.choice(("below", "above"))
    level = round(highest * dice.randrange(2, 9) / 10, 2)
    slack = highest / 10 * (1 if direction == "below" else -1)
    return Crossing(
        signal=signal,
        direction=direction,
        level=level,
        for_seconds=dice.choice((0, 0, 1, 3)) * DAY_SECONDS,
        rearm=dice.choice((None, None, round(level + slack, 2))),
    )


def _change(dice: random.Random) -> Condition:
    signal = dice.choice(HISTORIES)
    return Change(
        signal=signal,
        direction=dice.choice(("drop", "drop", "rise")),
        by=int(NUMBERS[signal] * 0.15) or 0.15,
        within_seconds=dice.choice((7, 14, 30)) * DAY_SECONDS,
    )


def _count(dice: random.Random) -> Condition:
    name = dice.choice(list(EVENTS))
    low = AllOf(items=(Compare(signal="rating", op="le", value=2),))
    return EventCount(
        name=name,
        at_least=dice.choice((1, 1, 2, 3)),
        within_seconds=dice.choice((7, 14, 30)) * DAY_SECONDS,
        where=low if name == "ticket_rated" else None,
    )
