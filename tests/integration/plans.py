"""Small playbooks for tests, built without files."""

from __future__ import annotations

from schemas.condition import AllOf, EventCount
from schemas.plan import Act, CompiledPlaybook, Enter
from tests.integration.running_engine import House

DAY = 86400


def trigger(name: str = "help_wanted") -> Enter:
    return Enter(when=AllOf(items=(EventCount(name=name, path=f"enter.when.event.{name}"),)))


def email(
    step: str, text: str = "Hello {{ customer.first_name }}", topic: str | None = None, **more: object
) -> Act:
    return Act(
        id=step, word="email", activity="Delivery.send", sends=True,
        args={"subject": f"About {step}", "text": text, "topic": topic}, **more,
    )  # fmt: skip


def sms(step: str) -> Act:
    return Act(
        id=step,
        word="sms",
        activity="Delivery.send",
        sends=True,
        args={"text": "Hi {{ customer.first_name }}"},
    )


def call(step: str, **more: object) -> Act:
    args = {
        "title": "Call {{ customer.first_name }}",
        "assign": "csm",
        "due_seconds": DAY,
        "give_up_seconds": 7 * DAY,
        "escalate": None,
    }
    return Act(id=step, word="call", activity="Tasks.assign", human=True, args=args, **more)


def playbook(*steps: object, name: str = "helping", **more: object) -> CompiledPlaybook:
    more.setdefault("enter", trigger())
    return CompiledPlaybook(name=name, title="Helping", owner="cs", status="live", steps=steps, **more)


async def ada(house: House) -> None:
    await house.engine.identify(
        "ada", first_name="Ada", email="ada@example.com", phone="+15005550009", timezone="UTC", csm="grace"
    )
