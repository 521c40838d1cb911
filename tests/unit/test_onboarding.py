"""Where a customer stands on the way to success: steps, pace, what is in the way and what is next; and its file."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks
from schemas.milestones import Milestone, Milestones
from schemas.milestones_file import shipped_milestones
from scoring.onboarding import OnboardingFacts, describe_onboarding, pace_of

ROOT = Path(__file__).parents[2]
SIGNED_UP = datetime(2026, 3, 2, 9, tzinfo=UTC)
PATH = (
    Milestone(type="setup", name="Set up", target_days=2, critical=True, weight=10),
    Milestone(
        type="form", name="First form", description="Builds one.", target_days=7, critical=True, weight=20
    ),
    Milestone(type="journey", name="First journey", target_days=14, critical=True, weight=20),
    Milestone(type="ten", name="Ten clients", target_days=30, weight=50),
)


def after(days: float) -> datetime:
    return SIGNED_UP + timedelta(days=days)


def facts(reached: dict[str, float] | None = None, **more: object) -> OnboardingFacts:
    given = {"days_since_last_login": 0, **more}
    return OnboardingFacts(SIGNED_UP, {type_: after(day) for type_, day in (reached or {}).items()}, **given)  # type: ignore[arg-type]


def test_whoever_is_in_time_stands_at_the_next_step_of_the_critical_path() -> None:
    found = describe_onboarding(PATH, facts({"setup": 1.5, "ten": 3}), now=after(5))
    assert (found.current_step, found.total_steps, found.current) == (2, 3, PATH[1])
    assert (found.milestones_completed, found.total_milestones, found.share) == (2, 4, 0.6)
    assert (found.days_in_onboarding, found.in_onboarding, found.off_track, found.blockers) == (
        5,
        True,
        False,
        [],
    )
    assert found.next_actions == ["Help with “First form”: Builds one."]
    assert [(step.day, step.due_on, step.late_days) for step in found.path[:2]] == [
        (1, date(2026, 3, 4), 0), (None, date(2026, 3, 9), 0),
    ]  # fmt: skip


def test_the_end_is_expected_by_the_customers_own_pace_and_never_in_the_past() -> None:
    on_time = describe_onboarding(PATH, facts({"setup": 2}), now=after(3))
    assert on_time.expected_completion == after(14).date()
    slow = describe_onboarding(PATH, facts({"setup": 4, "form": 14}), now=after(15))
    assert (pace_of(slow.path), slow.expected_completion) == (2.0, after(28).date())
    assert (
        describe_onboarding(PATH, facts({"setup": 2}), now=after(90)).expected_completion == after(91).date()
    )
    nothing = describe_onboarding(PATH, facts(), now=after(0))
    assert (pace_of(nothing.path), nothing.expected_completion) == (1.0, after(14).date())


@pytest.mark.parametrize(("day", "pace"), [(0, 0.25), (2, 1.0), (60, 4.0)])
def test_pace_is_held_within_bounds(day: int, pace: float) -> None:
    assert pace_of(describe_onboarding(PATH, facts({"setup": day}), now=after(70)).path) == pace


def test_past_a_target_of_the_critical_path_one_is_off_track_and_what_is_optional_never_counts() -> None:
    assert not describe_onboarding(PATH, facts({"setup": 1}), now=after(7)).off_track
    late = describe_onboarding(PATH, facts({"setup": 1}), now=after(10))
    assert (late.off_track, late.late_days) == (True, 3)
    assert [(one.kind, one.description) for one in late.blockers] == [
        ("milestone_overdue", "First form is 3 days past its target")
    ]
    both = describe_onboarding(PATH, facts({"setup": 1}), now=after(20))
    assert both.blockers[0].description == "First form is 13 days past its target, and 1 more"
    assert both.next_actions == ["Offer a call to do “First form” together."]
    through = describe_onboarding(PATH, facts({"setup": 1, "form": 5, "journey": 12}), now=after(60))
    assert (through.off_track, through.current, through.current_step, through.in_onboarding) == (
        False,
        None,
        4,
        False,
    )
    assert (through.completed_on, through.expected_completion) == (after(12).date(), None)
    assert through.days_in_onboarding == 12


def test_what_is_in_the_way_is_said_with_what_to_do_about_it() -> None:
    found = describe_onboarding(
        PATH,
        facts({"setup": 1}, days_since_last_login=9, open_tickets=2, failed_payments_30d=1, bounced=True),
        now=after(6),
    )
    assert {one.kind: one.description for one in found.blockers} == {
        "no_login": "No login for 9 days", "open_ticket": "2 support tickets are open",
        "failed_payment": "A payment failed", "email_bounce": "The last mail came back",
    }  # fmt: skip
    assert found.next_actions == [
        "See that the open ticket is answered first.",
        "Settle the payment with them, so that they aren't locked out.",
        "Ask for another e-mail address.",
        "Get in touch, by phone.",
    ]
    never = describe_onboarding(PATH, facts(days_since_last_login=None), now=after(1))
    assert [one.description for one in never.blockers] == ["Has never logged in"]
    assert never.next_actions[0] == "Invite them in, with the link to sign in, personally."


def test_without_a_critical_path_every_milestone_is_a_step() -> None:
    path = [one.model_copy(update={"critical": False}) for one in PATH]
    assert describe_onboarding(path, facts(), now=after(1)).total_steps == 4
    empty = describe_onboarding([], facts(), now=after(40))
    assert (empty.total_steps, empty.share, empty.in_onboarding, empty.current) == (0, 1.0, False, None)


def test_a_milestone_of_a_segment_concerns_nobody_else() -> None:
    power = Milestone(type="expert", name="Expert", target_days=90, segments=("power_user",))
    everybody = Milestones(milestones=(*PATH, power))
    assert [one.type for one in everybody.path_of("power_user")][-1] == "expert"
    assert len(everybody.path_of("new_user")) == len(everybody.path_of(None)) == 4


def test_what_ships_is_what_the_demo_publishes_and_names_the_usual_milestones() -> None:
    loaded = load_playbooks(ROOT / "playbooks", load_catalogue(), find_step_types())
    shipped = shipped_milestones()
    assert loaded.milestones is not None
    assert list(loaded.milestones.by_type) == list(shipped.by_type)
    assert list(shipped.by_type)[:6] == [
        "account_setup", "first_client", "first_form", "first_journey", "ten_clients", "first_automation",
    ]  # fmt: skip
    assert [one.type for one in shipped.milestones if one.critical] == list(shipped.by_type)[:4]
    assert (loaded.milestones.watched, shipped.watched) == (True, False)


def test_a_directory_has_its_milestones_or_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    def load() -> tuple[Milestones | None, bool, list[str]]:
        loaded = load_playbooks(tmp_path, load_catalogue(), find_step_types())
        return loaded.milestones, loaded.broken_milestones, [one.code for one in loaded.problems]

    assert load() == (None, False, [])
    file = tmp_path / "milestones.yaml"
    file.write_text('milestones: {first_form: {name: F, when: {forms_created: ">= 1"}, target_days: 7}}\n')
    found, broken, problems = load()
    assert found is not None
    assert (list(found.by_type), broken, problems) == (["first_form"], False, [])
    file.write_text("milestones: {first_form: {name: F}}\n")
    assert load() == (None, True, ["PB103"])
