"""What models may know: one customer's features are the table's row, and what isn't allowed reaches no model."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.hazard_world import make_world
from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import PlaybookError
from scoring.churning.columns import Categories, Column, Numbers, categories_of
from scoring.features import allow_list_digest, feature_row, feature_table, learnable
from scoring.hazard import fit_hazard, write_hazard
from scoring.signal_columns import SignalColumns

CATALOGUE = load_catalogue()
NAMES = [signal.name for signal in learnable(CATALOGUE)]
DOMAIN = """
days_since_last_login session_count_30d active_days_30d avg_session_minutes unique_features_used forms_created
clients_imported milestones_completed days_since_last_milestone health_trend avg_health_30d account_age_days plan
team_size support_tickets_30d last_support_rating
"""

numbers = st.one_of(st.floats(), st.integers(-5, 2000), st.booleans())
texts = st.sampled_from(["pro", "free", "annual", "declining", "unknown", "other", "Johanna", ""])
rows_ = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            name: texts if CATALOGUE.signals[name].type == "text" else numbers
            for name in [*NAMES, "country", "vendor_type", "monthly_price", "first_name"]
        },
    ),
    min_size=1,
    max_size=4,
)


def in_columns(rows: list[dict[str, Any]]) -> SignalColumns:
    """The same signals in bulk."""
    numeric: dict[str, Any] = {}
    text: dict[str, Categories] = {}
    for name in {name for row in rows for name in row}:
        values = [row.get(name) for row in rows]
        if CATALOGUE.signals[name].type == "text":
            text[name] = categories_of(values)
        else:
            numeric[name] = np.array([math.nan if value is None else float(value) for value in values])
    return SignalColumns(len(rows), numeric, text)


def cell(column: Column, row: int) -> float | str | None:
    if isinstance(column, Numbers):
        value = float(column.values[row])
        return None if math.isnan(value) else value
    return None if column.codes[row] < 0 else column.levels[column.codes[row]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows_)
def test_a_row_of_the_table_is_the_customers_features(rows: list[dict[str, Any]]) -> None:
    table = feature_table(in_columns(rows), CATALOGUE)
    assert list(table) == NAMES
    for place, row in enumerate(rows):
        found = feature_row(row, CATALOGUE)
        assert found == {name: cell(column, place) for name, column in table.items()}
        assert all(
            value is None or isinstance(value, str) or math.isfinite(value) for value in found.values()
        )


def test_the_domains_features_can_be_learned_from() -> None:
    assert set(DOMAIN.split()) <= set(NAMES)
    assert len(DOMAIN.split()) == 16


def test_nothing_personal_no_place_no_name_no_money_and_no_answer_is_among_them() -> None:
    assert not set(NAMES) & {
        "email", "phone", "first_name", "business_name", "timezone", "locale", "country", "vendor_type", "tags",
        "monthly_price", "subscription_status", "renewal_id", "churn_probability", "churn_risk_level",
        "ltv_at_risk", "best_templates", "recent_features",
    }  # fmt: skip
    for signal in learnable(CATALOGUE):
        assert not signal.personal
        assert signal.type in ("number", "bool") or signal.values


def test_what_is_missing_reads_as_the_domain_says() -> None:
    found = feature_row({}, CATALOGUE)
    assert {name: found[name] for name in ("forms_created", "session_count_30d", "features_adopted")} == {
        "forms_created": 0.0, "session_count_30d": 0.0, "features_adopted": 0.0,
    }  # fmt: skip
    assert found["days_since_last_login"] == found["days_since_last_milestone"] == 999.0
    assert found["health_trend"] == "unknown"
    for name in ("plan", "team_size", "account_age_days", "last_support_rating", "health_score"):
        assert found[name] is None
    assert feature_row({"team_size": math.nan, "health_score": math.inf}, CATALOGUE) == found
    assert feature_row({"team_size": "twelve", "plan": 3, "forms_created": 10**400}, CATALOGUE) == found


def test_a_text_that_the_catalogue_doesnt_know_loses_what_it_says() -> None:
    assert feature_row({"plan": "Johanna Meier's plan"}, CATALOGUE)["plan"] == "other"
    table = feature_table(in_columns([{"plan": "Johanna Meier's plan"}]), CATALOGUE)
    plan = table["plan"]
    assert isinstance(plan, Categories)
    assert "Johanna" not in "".join(plan.levels)


def catalogue_with(tmp_path: Path, lines: str) -> Catalogue:
    path = tmp_path / "signals.yaml"
    path.write_text("signals:\n  own:\n" + lines, "utf-8")
    return load_catalogue(path)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("remark: {type: text, about: X., learning: true}", "may say anything"),
        ("labels: {type: list, about: X., learning: true}", "a list is neither"),
        ("seen_at: {type: time, about: X., learning: true}", "a time is neither"),
        ("country: {type: text, about: X., values: [fi, se], learning: true}", "who or where"),
        ("vendor_type: {type: text, about: X., values: [venue], learning: true}", "who or where"),
        ("guess: {type: number, about: X., derive: {model: churn}, learning: true}", "own answer"),
    ],
)
def test_the_catalogue_refuses_to_learn_from_what_isnt_allowed(
    tmp_path: Path, declared: str, says: str
) -> None:
    with pytest.raises(PlaybookError) as caught:
        catalogue_with(tmp_path, f"    {declared}\n")
    problem = caught.value.problems[0]
    assert (problem.code, problem.line) == ("SC007", 3)
    assert says in problem.message


def test_the_digest_follows_the_allow_list_alone(tmp_path: Path) -> None:
    lines = "    visits: {type: number, about: X., learning: true}\n"
    one = allow_list_digest(catalogue_with(tmp_path, lines))
    assert len(one) == 16
    more = lines + "    remark: {type: text, about: X.}\n    email: {type: text, about: X., personal: true}\n"
    assert allow_list_digest(catalogue_with(tmp_path, more)) == one
    wider = lines + "    size: {type: text, about: X., values: [s, m], learning: true}\n"
    assert allow_list_digest(catalogue_with(tmp_path, wider)) != one


def test_what_isnt_allowed_changes_no_byte_of_the_artifact() -> None:
    """Not even columns that tell everything: the price, the country, a name, the label itself."""
    world = make_world(700, level=-3.8)
    known = {
        name: column.values for name, column in world.snapshots.table.items() if isinstance(column, Numbers)
    }
    spoken = {
        name: column for name, column in world.snapshots.table.items() if isinstance(column, Categories)
    }
    gone = np.isfinite(world.snapshots.left)
    forbidden_numbers = {
        "monthly_price": gone * 50.0, "churn_probability": gone * 1.0, "secret": gone * 1.0,
        "influencer": gone * 1.0,
    }  # fmt: skip
    answers = categories_of(["yes" if one else "no" for one in gone])
    forbidden_texts = dict.fromkeys(
        ("country", "vendor_type", "first_name", "timezone", "subscription_status", "notes"), answers
    )

    def learn(columns: SignalColumns) -> bytes:
        table = feature_table(columns, CATALOGUE)
        snapshots = dataclasses.replace(world.snapshots, table=table)
        return write_hazard(fit_hazard(snapshots, catalogue_digest=allow_list_digest(CATALOGUE)))

    plain = learn(SignalColumns(700, known, spoken))
    assert learn(SignalColumns(700, known | forbidden_numbers, spoken | forbidden_texts)) == plain
    assert learn(SignalColumns(700, known | {"support_tickets_30d": gone * 1.0}, spoken)) != plain
