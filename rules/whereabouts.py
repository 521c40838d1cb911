"""Where a customer is, by what is known of them: texts as they were told, which may name nothing that there is."""

from __future__ import annotations

from schemas.facts import Facts


def zone_of(facts: Facts) -> str | None:
    """The name of their time zone."""
    return _text(facts.profile.get("timezone"))


def country_of(facts: Facts) -> str | None:
    """Their country, as an ISO 3166-1 code."""
    return _text(facts.signals.get("country")) or _text(facts.profile.get("country"))


def region_of(facts: Facts) -> str | None:
    """The part of their country, as an ISO 3166-2 code."""
    return _text(facts.profile.get("region")) or _text(facts.profile.get("state"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
