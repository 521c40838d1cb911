"""A crowd of customers whose whole way through their playbook is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.condition import AllOf, Compare
from schemas.plan import (
    Act,
    Branch,
    CompiledPlaybook,
    Elapsed,
    EventMatch,
    Goal,
    Reaction,
    Step,
    Wait,
    WaitFor,
)
from tests.integration.plans import call, email, playbook, sms, trigger

PRO = AllOf(items=(Compare(signal="plan", op="eq", value="pro"),))


def in_app(step: str) -> Act:
    return Act(
        id=step,
        word="in_app",
        activity="Delivery.show",
        args={"title": "Hi", "text": "News for {{ customer.first_name }}"},
    )


def tour(reply_seconds: int) -> tuple[Step, ...]:
    """A bit of everything; the reply is waited for so long."""
    return (
        email("greet"),
        Wait(id="pause", spec=Elapsed(seconds=2)),
        sms("nudge"),
        WaitFor(id="reply", event=EventMatch(name="replied"), for_seconds=reply_seconds),
        Branch(id="which", when=PRO, then=(in_app("for-pros"),), otherwise=(in_app("for-others"),)),
        call("ring", outcomes={
            "no_answer": Reaction(do="fallback", steps=(email("missed"),)), "declined": Reaction(do="stop"),
        }),
        email("summary"),
    )  # fmt: skip


def imported(within_seconds: int) -> Goal:
    return Goal(name="imported", event=EventMatch(name="client_imported"), within_seconds=within_seconds)


NAP = Wait(id="nap", spec=Elapsed(seconds=3600))
SHORT = (email("greet"), Wait(id="pause", spec=Elapsed(seconds=1)), sms("nudge"))
PLAYBOOKS: Mapping[str, CompiledPlaybook] = {
    made.name: made
    for made in (
        playbook(*tour(3), name="silent", enter=trigger("silent_wanted")),
        playbook(*tour(3600), name="answered", enter=trigger("answered_wanted")),
        playbook(*SHORT, Wait(id="long", spec=Elapsed(seconds=3600)), email("late"),
                 name="reached", enter=trigger("reached_wanted"), goal=imported(3600)),
        playbook(*SHORT, name="missed", enter=trigger("missed_wanted"), goal=imported(8)),
        playbook(email("greet"), NAP, email("summary"), name="napping", enter=trigger("napping_wanted")),
        playbook(NAP, email("greet"), name="napping-first", enter=trigger("napping-first_wanted")),
    )
}  # fmt: skip

# What the crowd goes through.
COURSES = ("silent", "answered", "reached", "missed")


@dataclass(frozen=True)
class Person:
    """One customer, who enters one playbook, and what an undisturbed run does for them."""

    name: str
    playbook: str
    plan: str
    phone: str
    ring: str

    @classmethod
    def number(cls, n: int) -> Person:
        # Now and then a number that no provider would take.
        phone = f"+4{n:03d}" if n % 7 == 5 else f"+1500555{n:04d}"
        ring = ("reached", "no_answer", "declined")[n // 4 % 3]
        return cls(f"person-{n}", COURSES[n % 4], ("pro", "starter")[n // 2 % 2], phone, ring)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(step, outcome) of an undisturbed run."""
        if self.playbook.startswith("napping"):
            return [("greet", "sent"), ("summary", "sent")][: 1 if self.playbook == "napping-first" else 2]
        begun = [("greet", "sent"), ("nudge", "failed" if len(self.phone) < 8 else "sent")]
        if self.playbook in ("reached", "missed"):
            return begun
        begun.append(("reply", "then" if self.playbook == "answered" else "else"))
        begun += (
            [("which", "then"), ("for-pros", "sent")]
            if self.plan == "pro"
            else [("which", "else"), ("for-others", "sent")]
        )
        begun.append(("ring", self.ring))
        match self.ring:
            case "declined":
                return begun
            case "no_answer":
                return [*begun, ("missed", "sent"), ("summary", "sent")]
        return [*begun, ("summary", "sent")]

    @property
    def outcome(self) -> str:
        """How an undisturbed run ends."""
        if self.playbook in ("reached", "missed"):
            return {"reached": "success", "missed": "expired"}[self.playbook]
        return "stopped" if self.ring == "declined" else "completed"
