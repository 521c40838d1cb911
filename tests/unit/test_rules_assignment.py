"""Variants and holdouts: stable, independent of one another, and in the proportions asked for."""

from __future__ import annotations

from math import sqrt

import pytest

from rules.assignment import arms, assign, held_out, share
from schemas.condition import AllOf
from schemas.plan import Act, Branch, Reaction, Split, Variant, WaitFor


@pytest.mark.parametrize(
    ("salt", "customer", "expected"),
    [
        ("exp-1", "cust_0", 0.7310412411341063),
        ("exp-1", "cust_1", 0.8671633580633005),
        ("holdout:global", "cust_0", 0.7902584237989976),
    ],
)
def test_shares_are_the_published_ones(salt: str, customer: str, expected: float) -> None:
    assert share(salt, customer) == expected


def test_shares_lie_in_the_unit_interval_whatever_the_id() -> None:
    assert all(
        0 <= share("s", customer) < 1 for customer in ("", "a@b.example", "zäh", "\ud800", "x" * 10_000)
    )


def test_arms_follow_their_weights() -> None:
    weights = {"templates": 50, "checklist": 30, "control": 20}
    drawn = [assign("follow-up", weights, f"c{n}") for n in range(20_000)]
    chi_square = sum(
        (drawn.count(name) - 200 * weight) ** 2 / (200 * weight) for name, weight in weights.items()
    )
    assert chi_square < 13.8  # the .999 quantile of two degrees of freedom


def test_experiments_are_drawn_independently() -> None:
    both = sum(
        assign("one", {"a": 1, "b": 1}, f"c{n}") == assign("two", {"a": 1, "b": 1}, f"c{n}")
        for n in range(20_000)
    )
    assert abs(both - 10_000) < 4 * sqrt(20_000 * 0.25)


def test_the_order_in_the_file_and_an_arm_without_weight_move_nobody() -> None:
    for n in range(200):
        arm = assign("x", {"a": 10, "b": 20}, f"c{n}")
        assert (
            arm
            == assign("x", {"b": 20, "a": 10}, f"c{n}")
            == assign("x", {"aa": 0, "b": 20, "a": 10}, f"c{n}")
        )


def test_weights_are_relative_and_not_all_zero() -> None:
    assert all(
        assign("x", {"a": 1, "b": 3}, f"c{n}") == assign("x", {"a": 25, "b": 75}, f"c{n}") for n in range(200)
    )
    with pytest.raises(ValueError, match="no variant has a weight"):
        assign("x", {"a": 0}, "c1")


def test_holdouts_hold_out_their_share_and_grow_by_addition() -> None:
    customers = [f"c{n}" for n in range(20_000)]
    ten = {customer for customer in customers if held_out("global", 10, customer)}
    assert abs(len(ten) - 2_000) < 4 * sqrt(20_000 * 0.09)
    assert ten < {customer for customer in customers if held_out("global", 20, customer)}
    assert not any(held_out("global", 0, customer) for customer in customers)
    assert all(held_out("global", 100, customer) for customer in customers)


def act(name: str, **outcomes: Reaction) -> Act:
    return Act(id=name, word="email", outcomes=outcomes)


def test_arms_of_a_plan_are_those_a_customer_may_come_to() -> None:
    def split(name: str, **variants: tuple[Act | Split, ...]) -> Split:
        return Split(
            id=name,
            experiment=name,
            variants={arm: Variant(weight=1, steps=s) for arm, s in variants.items()},
        )

    inner = split("inner", a=(), b=())
    steps = (
        Branch(
            id="0",
            when=AllOf(items=()),
            then=(split("branch", a=(), b=()),),
            otherwise=(split("else", a=()),),
        ),
        WaitFor(id="1", for_seconds=60, then=(split("wait", a=(), b=()),)),
        act("2", failed=Reaction(do="fallback", steps=(split("fallback", a=(), b=()),))),
        split("outer", with_inner=(inner,), without=()),
    )
    for n in range(50):
        found = arms(steps, f"c{n}")
        assert found["outer"] == assign("outer", {"with_inner": 1, "without": 1}, f"c{n}")
        expected = {"branch", "else", "wait", "fallback", "outer"}
        assert set(found) == expected | ({"inner"} if found["outer"] == "with_inner" else set())
