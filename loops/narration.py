"""Telling what happens while a month is played: the suppliers of the stories in full, all others in numbers by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from loops.demo.personas import PERSONAS
from loops.demo.population import Population
from loops.reporting import summarise
from store.database import Database
from store.playing import Happening

_VERBS = {
    "email": "is sent the e-mail",
    "sms": "is sent the SMS",
    "in_app": "is shown",
    "call": "is put on the call list:",
}


class Narrator:
    """Gathers what happened and says it in time."""

    def __init__(self, population: Population, say: Callable[[str], None]) -> None:
        self._say = say
        self._people = {customer.external_id: customer.traits for customer in population.customers}
        self._stories = {persona.external_id for persona in PERSONAS}
        self._day: Counter[str] = Counter()
        self._start: datetime | None = None
        self._total: Counter[str] = Counter()

    def tell(self, happening: Happening) -> None:
        """Count it, and tell it if it concerns somebody of the stories."""
        word = happening.word if happening.kind in ("message", "end") else happening.kind
        if happening.kind == "entry" and happening.word in ("held_out", "shadow"):
            word = happening.word.replace("_", " ")
        self._day[word] += 1
        self._total[word] += 1
        if happening.customer in self._stories:
            self._say(
                f"  {happening.at:%a %d %b %H:%M}  {self._name(happening.customer)} {_sentence(happening)}"
            )

    def turn_day(self, midnight: datetime) -> None:
        """Say what the day before came to."""
        if self._start is None:
            self._start = midnight
            self._say(f"{midnight:%a %d %b}: the month begins, {len(self._people)} suppliers")
        else:
            number = (midnight - self._start).days
            self._say(f"Day {number:2}, until {midnight:%a %d %b}: {_numbers(self._day) or 'quiet'}")
        self._day.clear()

    async def conclude(self, database: Database, seconds: float) -> None:
        """Say what the month came to, playbook by playbook."""
        self._say("")
        self._say(f"The month in all: {_numbers(self._total)}")
        for line in await summarise(database):
            self._say(line)
        self._say(f"Played in {seconds:.0f} s.")

    def _name(self, customer: str) -> str:
        traits = self._people.get(customer, {})
        return f"{traits.get('first_name', customer)} ({traits.get('business_name', customer)})"


def _sentence(happening: Happening) -> str:
    match happening.kind:
        case "entry":
            verb = "enters" if happening.word == "treated" else "would enter"
            but = {"held_out": ", but is held out to measure", "shadow": ", which is a shadow yet"}
            return f"{verb} {happening.playbook}{but.get(happening.word, '')}, because {happening.detail}"
        case "end":
            return f"leaves {happening.playbook}: {happening.word} ({happening.detail})"
        case "reward":
            return f"has {happening.detail.replace(' for ', ' unlocked for ', 1)}"
        case "reward_end":
            return f"has {happening.detail} locked again"
        case _:
            return f"{_VERBS.get(happening.word, happening.word)} “{happening.detail[:90]}”"


def _numbers(counted: Counter[str]) -> str:
    names = {
        "entry": "entered", "held out": "held out", "shadow": "as shadows",
        "email": "e-mails", "sms": "SMS", "in_app": "in-app", "task": "calls",
        "reward": "features unlocked", "reward_end": "locked again",
        "success": "goals reached", "stopped": "stopped", "lost": "lost", "completed": "completed",
        "expired": "expired", "failed": "failed",
    }  # fmt: skip
    return ", ".join(f"{counted[word]} {name}" for word, name in names.items() if counted[word])
