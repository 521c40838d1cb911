"""When a wait of a known customer is over, and what had to be assumed to say so."""

from __future__ import annotations

from datetime import date, datetime

from rules.calendar import wait_ends
from rules.holidays import has_holidays, holidays_within
from rules.whereabouts import country_of, region_of, zone_of
from rules.zones import find_zone
from schemas.facts import Facts
from schemas.plan import BeforeDate, CalendarDays, Elapsed, WaitSpec


def end_of_wait(spec: WaitSpec, since: datetime, facts: Facts, default_zone: str) -> datetime | None:
    """When a wait that began at `since` is over in the customer's own time, by what is known now; None: no date."""
    return wait_ends(
        spec,
        since=since,
        zone=zone_of(facts),
        default_zone=default_zone,
        signal_value=_counted_from(spec, facts),
        holidays=holidays_within(spec, since, country_of(facts), region_of(facts)),
    )


def describe_assumptions(spec: WaitSpec, facts: Facts, default_zone: str) -> str:
    """What `end_of_wait` takes for granted because it isn't known of this customer, in words; empty for nothing."""
    told = []
    zone, country = zone_of(facts), country_of(facts)
    if _goes_by_clocks(spec, facts) and find_zone(zone) is None:
        told.append(f"default zone {default_zone}: {f'{zone} is unknown' if zone else 'no zone is known'}")
    if isinstance(spec, CalendarDays) and spec.business and not has_holidays(country):
        told.append(f"weekends only: no holidays known for {country or 'a customer without country'}")
    return "; ".join(told)


def _counted_from(spec: WaitSpec, facts: Facts) -> object:
    return facts.signals.get(spec.signal) if isinstance(spec, BeforeDate) else None


def _goes_by_clocks(spec: WaitSpec, facts: Facts) -> bool:
    """Whether the end depends on the zone: neither elapsed time nor what is counted back from a moment does."""
    if isinstance(spec, BeforeDate) and spec.at_minute is None:
        value = _counted_from(spec, facts)
        return isinstance(value, date) and not isinstance(value, datetime)
    return not isinstance(spec, Elapsed)
