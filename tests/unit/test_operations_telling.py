"""What the pages of operations make of what they read: masked reports, differences, draws, a message's history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.assignment import assign
from schemas.plan import CompiledPlaybook, Split, Variant
from web.audit_diff import FieldChange, differ
from web.drawing import explain_draws
from web.redacting import redact, redact_text


def test_addresses_numbers_and_texts_are_masked_and_codes_stay() -> None:
    said = {
        "code": "550", "To": "ada@example.com", "said": ["no <ada@example.com>", "call +49 (30) 123-4567 now"],
        "within": {"user_agent": "Mozilla/5.0", "at": "2026-03-02T09:00:00+00:00"}, "times": 3, "empty": "",
    }  # fmt: skip
    assert redact(said) == {
        "code": "550", "To": "(15 characters)", "said": ["no <(an address)>", "call (a number) now"],
        "within": {"user_agent": "(11 characters)", "at": "2026-03-02T09:00:00+00:00"}, "times": 3, "empty": "",
    }  # fmt: skip


@given(st.text(alphabet="ab@. ,<>+0123456789-", max_size=40))
def test_no_address_is_left_in_a_text(text: str) -> None:
    for word in redact_text(text).replace("<", " ").replace(">", " ").replace(",", " ").split():
        before, at, after = word.partition("@")
        assert not (at and before and after and "@" not in after)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, {"a": 1}, [("a", None, 1)]),
        ({"a": 1}, None, [("a", 1, None)]),
        ({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1, "c": 3}, "d": 1}, [("a.c", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
        ({}, {}, []),
    ],
)
def test_only_what_differs_is_told(
    before: dict[str, object] | None, after: dict[str, object] | None, told: list[tuple[str, object, object]]
) -> None:
    assert differ(before, after) == [FieldChange(*one) for one in told]


@given(st.text(min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_a_draw_is_explained_by_the_band_that_it_falls_into(
    customer: str, first: int, second: int, third: int
) -> None:
    weights = {"b": first, "a": second, "c": third}
    variants = {name: Variant(weight=weight) for name, weight in weights.items()}
    split = Split(id="s", experiment="tone", variants=variants)
    playbook = CompiledPlaybook(name="p", title="P", owner="cs", status="live", steps=(split,))
    drawn = assign("tone", weights, customer)
    [draw] = explain_draws(playbook, {"tone": drawn}, {}, customer, "run")
    assert not draw.by_hand
    assert [band.variant for band in draw.bands] == sorted(name for name, weight in weights.items() if weight)
    other = next(band.variant for band in draw.bands if band.variant != drawn)
    assert explain_draws(playbook, {"tone": other}, {}, customer, "run")[0].by_hand
