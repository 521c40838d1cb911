"""The signal catalogue: what ships is complete, and a wrong file is refused with the place of every fault."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.catalogue_page import render_catalogue
from schemas.errors import PlaybookError

ROOT = Path(__file__).parents[2]

REQUIRED = """
plan subscription_status monthly_price account_age_days team_size vendor_type segment country tags
renewal_date last_login days_since_last_login session_count_30d active_days_30d avg_session_minutes
usage_drop_percent
unique_features_used features_adopted forms_created clients_imported journeys_created templates_used
clients_total clients_active_30d form_completion_rate journey_performance
support_tickets_30d open_tickets last_support_rating avg_support_rating_30d failed_payments_30d
milestones_completed days_since_last_milestone critical_milestones_done critical_milestones_total
health_score risk_level health_trend avg_health_30d
churn_probability churn_risk_level predicted_churn_date ltv_at_risk
recent_features best_templates referrals recent_viral_activity influencer trial_ends_at
email phone first_name business_name timezone locale
"""
TYPES = {
    "last_login": "time", "trial_ends_at": "time", "renewal_date": "date", "predicted_churn_date": "date",
    "recent_viral_activity": "bool", "influencer": "bool", "tags": "list", "plan": "text",
    "subscription_status": "text", "vendor_type": "text", "segment": "text", "country": "text",
    "risk_level": "text", "health_trend": "text", "churn_risk_level": "text", "health_score": "number",
    "churn_probability": "number", "days_since_last_login": "number",
}  # fmt: skip


def test_every_core_signal_is_there_with_its_type() -> None:
    signals = load_catalogue().signals
    assert not [name for name in REQUIRED.split() if name not in signals]
    assert {name: signals[name].type for name in TYPES} == TYPES


def test_every_signal_says_what_it_means_and_where_it_comes_from() -> None:
    for signal in load_catalogue().signals.values():
        assert signal.about.endswith("."), signal.name
        assert signal.derive, signal.name
        assert signal.unit or signal.type != "number", signal.name


def test_models_never_learn_from_people_places_prices_or_their_own_answer() -> None:
    signals = load_catalogue().signals
    learning = {name for name, signal in signals.items() if signal.learning}
    assert not learning & {name for name, signal in signals.items() if signal.personal}
    forbidden = {
        "country",
        "monthly_price",
        "subscription_status",
        "churn_probability",
        "tags",
        "best_templates",
    }
    assert not learning & forbidden
    assert {"days_since_last_login", "health_trend", "plan", "team_size", "last_support_rating"} <= learning


def test_profile_signals_are_personal_and_others_are_not() -> None:
    personal = {name for name, signal in load_catalogue().signals.items() if signal.personal}
    assert personal == {"email", "phone", "first_name", "business_name", "timezone", "locale"}


def test_the_page_in_the_documentation_is_the_page_of_the_catalogue() -> None:
    written = (ROOT / "docs" / "signals.md").read_text("utf-8")
    assert written == render_catalogue(load_catalogue()), (
        "run python -m schemas.catalogue_page > docs/signals.md"
    )


def test_a_misspelt_signal_finds_its_nearest_names() -> None:
    assert load_catalogue().nearest("helth_score")[0] == "health_score"


def test_values_are_read_by_type() -> None:
    signals = load_catalogue().signals
    assert signals["renewal_date"].read("2026-03-01") == date(2026, 3, 1)
    assert signals["last_login"].read("2026-03-01T10:00:00+01:00") == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert signals["tags"].read(["vip", "early"]) == ("vip", "early")
    assert signals["team_size"].read("3") is None
    assert signals["team_size"].read(True) is None
    assert signals["team_size"].read(float("nan")) is None


@pytest.mark.parametrize(
    ("text", "line", "code", "says"),
    [
        ("signals:\n  a:\n    x: {type: nummer, about: X.}\n", 3, "SC002", "number"),
        ("signals:\n  a:\n    x: {type: text, about: X., colour: red}\n", 3, "SC002", "not permitted"),
        ("signals:\n  a: {x: {type: text, about: X.}}\n  b:\n    x: {type: text, about: X.}\n", 4, "SC003",
         "twice"),
        ("events: {login: In.}\nsignals:\n  a:\n    x:\n      type: time\n      about: X.\n"
         "      derive: {latest: {events: [logon]}}\n", 7, "SC005", "logon"),
        ("signals:\n  a:\n    x: {type: number, about: X., derive: {age_of: y}}\n", 3, "SC005",
         "y is no time"),
        ("signals:\n  a:\n    x: {type: text, about: X., derive: {trait: [x], age_of: x}}\n", 3, "SC002",
         "exactly one"),
        ("signals:\n  a:\n    x: {type: text, about: X., personal: true, learning: true}\n", 3, "SC006",
         "never learns"),
        ("events: {e: {about: E., detail: a, measure: b}}\n", 1, "SC004", "not both"),
        ("signal: {}\n", 1, "SC002", "signal"),
    ],
)  # fmt: skip
def test_a_wrong_catalogue_is_refused_at_its_line(
    tmp_path: Path, text: str, line: int, code: str, says: str
) -> None:
    path = tmp_path / "signals.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(PlaybookError) as caught:
        load_catalogue(path)
    problem = caught.value.problems[0]
    assert (problem.line, problem.code) == (line, code)
    assert says in problem.message
    assert problem.file == str(path)


def test_all_faults_of_a_catalogue_come_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "signals.yaml"
    path.write_text("signals:\n  a:\n    x: {type: t, about: X.}\n    y: {type: text}\n", "utf-8")
    with pytest.raises(PlaybookError) as caught:
        load_catalogue(path)
    assert [problem.line for problem in caught.value.problems] == [3, 4]


def test_a_catalogue_that_is_not_there_is_named() -> None:
    with pytest.raises(PlaybookError, match=r"nowhere\.yaml"):
        load_catalogue(Path("nowhere.yaml"))


def test_an_ops_catalogue_may_add_signals_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "signals.yaml"
    shipped = (ROOT / "schemas" / "signals.yaml").read_text("utf-8")
    extra = "  ours:\n    tier: {type: text, about: Our tier., derive: {trait: [tier]}, core: false}\n"
    path.write_text(shipped + "\n" + extra, "utf-8")
    catalogue = load_catalogue(path)
    assert catalogue.signals["tier"].group == "ours"
    assert len(catalogue.signals) == len(load_catalogue().signals) + 1
