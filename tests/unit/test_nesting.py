"""Which steps stand inside which."""

from __future__ import annotations

from schemas.nesting import arms_of
from tests.unit.compiling import plan


def test_every_step_of_an_experiment_knows_its_arm_and_the_inner_one_first() -> None:
    steps = plan("""
steps:
  - {id: before, email: tips}
  - experiment: tone
    variants:
      warm:
        weight: 50
        steps:
          - if: {plan: pro}
            then: [{id: deep, email: tips}]
          - experiment: length
            variants:
              long: {weight: 50, steps: [{id: inside, email: tips}]}
              short: {weight: 50, steps: []}
          - {id: after, email: tips}
      cool: {weight: 50, steps: [{id: other, sms: tips}]}
""").steps
    named = {
        step: arm
        for step, arm in arms_of(steps).items()
        if step in ("deep", "inside", "after", "other", "before")
    }
    assert named == {"deep": "warm", "inside": "long", "after": "warm", "other": "cool"}
