"""The commented starting points that `holdfast new` writes; `@NAME@` and the like stand for what is chosen."""

from __future__ import annotations

STEP = '''"""The step `@WORD@`: say in one line what it does."""

from __future__ import annotations

import logging

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.step_type import Done, StepType, Work

log = logging.getLogger(__name__)


class @CLASS@Arguments(Frozen):
    """What may stand under `@WORD@:`. This line, and the descriptions below, are what editors show."""

    # A Part is a text with values in it, as in {{ customer.first_name }}; it is rendered before it gets here.
    note: Part = Field(description="What is noted; Jinja2.", examples=["Look at {{ customer.first_name }}"])
    # Everything else is checked as it stands: int, bool, Literal["a", "b"], list[str], dict[str, Part],
    # schemas.duration.Duration for 3d. A default makes an argument optional.
    times: int = Field(1, ge=1, le=10, description="How often it is noted; once where left out.")


async def carry_out(work: Work) -> Done:
    """Do it, within 10 s.

    Of the errors in `channels.outcome`, a `TransientError` has it tried again for six hours, and an
    `UnknownOutcomeError` ends it as `unknown`: it may have happened, so it isn't done again. After any
    other error it has `failed`, and the run goes on.
    """
    # The same for every attempt: hand it on, so that whoever receives the work can tell a repetition.
    key = work.key
    note = work.args["note"]
    for _ in range(work.args["times"]):
        # Logs are no place for what is known of customers: how much was noted is enough.
        log.info("@WORD@ %s: a note of %d characters", key, len(note))
    # What later steps may use, as in {{ steps.ID.characters }}; and a line for the run's trace.
    return Done("done", {"characters": len(note)}, f"noted {work.args['times']} times")


STEP = StepType(
    word="@WORD@",
    about="Notes something about the customer: say here what it does.",
    arguments=@CLASS@Arguments,
    carry_out=carry_out,
    # What it can end with; a playbook says under `outcomes:` what follows each.
    outcomes=("done", "failed", "unknown"),
    # The argument that a plain value means: `@WORD@: some note` is `@WORD@: {note: some note}`.
    shorthand="note",
    # True where doing it twice does no harm: then what was interrupted is done again instead of left `unknown`.
    repeatable=False,
)
'''

STEP_TEST = '''"""The step `@WORD@`: what playbooks can say with it, and what it does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

@IMPORTS@
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks
from schemas.plan import Act
from schemas.step_type import Work

PLAYBOOK = """\\
playbook: tries-@DASHED@
title: Tries @WORD@
owner: cs-ops
status: draft
steps:
  - id: first
    @WORD@: "Look at {{ customer.first_name }}"
  - @WORD@: {note: "{{ steps.first.characters }} characters", times: 2}
"""


def test_a_playbook_can_say_it(tmp_path: Path) -> None:
    (tmp_path / "tries-@DASHED@.yaml").write_text(PLAYBOOK, encoding="utf-8")
    loaded = load_playbooks(tmp_path, load_catalogue(), find_step_types())
    assert loaded.problems == []
    first, second = loaded.playbooks["tries-@DASHED@"].steps
    assert isinstance(first, Act)
    assert isinstance(second, Act)
    assert first.word == "@WORD@"
    assert first.args == {"note": "Look at {{ customer.first_name }}", "times": 1}
    assert second.args["times"] == 2


@pytest.mark.parametrize("wrong", [{}, {"note": "x", "times": 0}, {"note": "x", "often": 2}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        @CLASS@Arguments.model_validate(wrong)


async def test_it_does_its_work() -> None:
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    work = Work(key="a-key", now=now, args={"note": "Look at Ada", "times": 2})
    done = await carry_out(work)
    assert done.outcome in STEP.outcomes
    assert (done.output, done.detail) == ({"characters": 11}, "noted 2 times")
'''

PLAYBOOK = """# yaml-language-server: $schema=@SCHEMAS@/playbook.schema.json
playbook: @NAME@  # the file's name
title: Say in one line what this is for
owner: cs-ops  # who answers for it
status: draft  # draft: nobody enters; shadow: only records what it would do; live; paused; retired
about: >
  Say for whom this is, and why it helps. `holdfast simulate @NAME@ --facts FACTS.json` plays it through, and
  `holdfast test @NAME@` checks it against @TESTS@.

enter:
  when:  # every line must hold
    health_score: "< 50"
    days_since_last_login: "> 7"
    subscription_status: [trial, active]
  again: after 30d  # the same customer no sooner than that
  holdout: 10%  # never treated, always measured: this is how its effect is known

goal:  # what counts as success, counted from entry; it ends the run at once
  name: came-back
  event: {name: login}
  within: 14d

exit:  # what ends the run early
  - when: {subscription_status: cancelled}
    outcome: lost

steps:
  - id: first-mail
    email:  # or the name of a file in templates/
      subject:
        text: "{{ customer.first_name }}, can we help?"
        default: "Can we help?"  # sent where there is no first name
      text: |
        Hello {{ customer.first_name | default("there") }},

        we haven't seen you for {{ signals.days_since_last_login | default("some") }} days. If something is in the
        way, answer this mail; a person reads it.

        Your success team
  - wait: 3d
  - id: success-call
    call:
      title: "{{ customer.first_name | default('A customer') }} hasn't been back"
      assign: csm  # the customer's own
      due: 24h  # moved to working hours
    outcomes:
      declined: stop  # this is what happens anyway; `no_answer: {goto: ID}` would go elsewhere
"""

PLAYBOOK_TEST = """# yaml-language-server: $schema=@SCHEMAS@/playbook-test.schema.json
playbook: @NAME@
given:  # what is known of the customer at the start, in every test
  signals: {health_score: 35, days_since_last_login: 9, subscription_status: active}
  profile: {first_name: Ada, email: ada@example.com, timezone: Europe/Berlin}
  consent: {email: true}
tests:
  - name: who comes back after the mail is left alone
    enters: true
    events:
      - {at: 1d, name: login}
    expect:
      - {email: sent, step: first-mail, subject: "Ada, can we help?"}
      - ...  # lines that don't matter here
      - {ended: success, reason: came-back}
    never:
      - call: open

  - name: who stays away is called
    events:
      - {at: 4d, do: complete, step: success-call, outcome: reached}
    expect:
      - {email: sent, step: first-mail}
      - ...
      - {call: open, step: success-call, title: "Ada hasn't been back"}
      - {call: reached}
      - {after: 14d, ended: expired}

  - name: who was here yesterday isn't meant
    given:
      signals: {days_since_last_login: 1}
    enters: false
"""


def fill(draft: str, **chosen: str) -> str:
    """A draft with what was chosen in the places that wait for it."""
    for name, value in chosen.items():
        draft = draft.replace(f"@{name.upper()}@", value)
    return draft
