"""Who the demo's wedding suppliers are. Every address and number lies in a range that nobody can have:
example.com and example.test, and the telephone numbers that regulators keep for films and books.
"""

from __future__ import annotations

import re
import unicodedata
from random import Random
from typing import Any

FIRST_NAMES = (
    "Amelia", "Aoife", "Beatriz", "Ben", "Camille", "Carla", "Chloe", "Clara", "Daniel", "Deniz",
    "Ella", "Emil", "Emma", "Felix", "Finn", "Freya", "Grace", "Hannah", "Harper", "Hugo", "Ines",
    "Isla", "Jack", "James", "Jonas", "Julia", "Kai", "Lea", "Leo", "Lena", "Lily", "Louis", "Lucia",
    "Marco", "Maya", "Mia", "Nadia", "Nina", "Noah", "Nora", "Oliver", "Olivia", "Oscar", "Paula",
    "Priya", "Ruby", "Sam", "Sofia", "Theo", "Tom", "Yara", "Zoe",
)  # fmt: skip

# Trade, its share of the base, and what such a business is called.
TRADES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("photographer", 30, ("{} Photography", "Studio {}", "{} & Light", "Frames by {}")),
    ("venue", 14, ("{} Hall", "The {} Barn", "{} Manor", "{} Gardens")),
    ("florist", 13, ("{} Blooms", "Wild {}", "{} Flower Studio")),
    ("caterer", 11, ("{} Kitchen", "Table {}", "{} Catering")),
    ("planner", 12, ("{} Weddings", "Days by {}", "{} Events")),
    ("band", 7, ("The {} Quartet", "{} & The Night", "{} Live")),
    ("cake_maker", 7, ("{} Cakes", "Sugar {}", "{} Patisserie")),
    ("videographer", 6, ("{} Films", "{} Motion", "Reel {}")),
)
BUSINESS_WORDS = (
    "Alder", "Amber", "Anchor", "Ash", "Bellweather", "Birch", "Bramble", "Cedar", "Clover", "Copper",
    "Coral", "Dahlia", "Dove", "Ember", "Fern", "Foxglove", "Gable", "Golden", "Harbour", "Hazel",
    "Heron", "Ivory", "Juniper", "Kestrel", "Larch", "Linden", "Lumen", "Magnolia", "Maple", "Marigold",
    "Meadow", "Mill", "Olive", "Orchard", "Pearl", "Poppy", "Quill", "Rowan", "Sable", "Sage", "Silver",
    "Sorrel", "Swift", "Thistle", "Velvet", "Willow",
)  # fmt: skip

# Country, its share, locale, time zones, and its fictional numbers with # for a digit.
COUNTRIES: tuple[tuple[str, int, str, tuple[str, ...], str], ...] = (
    ("US", 34, "en-US", ("America/New_York", "America/Chicago", "America/Los_Angeles"), "+1{area}55501##"),
    ("GB", 24, "en-GB", ("Europe/London",), "+447700900###"),
    ("DE", 15, "de-DE", ("Europe/Berlin",), "+493023125###"),
    ("FR", 9, "fr-FR", ("Europe/Paris",), "+336399800##"),
    ("IE", 7, "en-IE", ("Europe/Dublin",), "+3532091#####"),
    ("AU", 6, "en-AU", ("Australia/Sydney", "Australia/Perth"), "+6149157####"),
    ("CA", 5, "en-CA", ("America/Toronto", "America/Vancouver"), "+1{area}55501##"),
)
_AREAS = {
    "America/New_York": "212",
    "America/Chicago": "312",
    "America/Los_Angeles": "213",
    "America/Toronto": "416",
    "America/Vancouver": "604",
}

# Plan, its share, and its monthly price.
PLANS: tuple[tuple[str, int, int], ...] = (("starter", 32, 19), ("pro", 48, 49), ("business", 20, 99))
CSMS = (
    "ana.sousa@example.com",
    "ben.okafor@example.com",
    "chiara.rossi@example.com",
    "dev.patel@example.com",
)


def draw_weighted(rng: Random, choices: tuple[Any, ...]) -> Any:
    """One of `choices`, tuples whose second item is their weight."""
    return rng.choices(choices, weights=[choice[1] for choice in choices])[0]


def describe_person(rng: Random, number: int) -> dict[str, Any]:
    """Name, trade, place, contact, plan and team of one supplier."""
    trade, _, patterns = draw_weighted(rng, TRADES)
    country, _, locale, zones, phone = draw_weighted(rng, COUNTRIES)
    zone = rng.choice(zones)
    plan, _, price = draw_weighted(rng, PLANS)
    first = rng.choice(FIRST_NAMES)
    business = rng.choice(patterns).format(rng.choice(BUSINESS_WORDS))
    traits: dict[str, Any] = {
        "first_name": first,
        "business_name": business,
        "vendor_type": trade,
        "email": f"{_slug(first)}.{number}@{_slug(business)}.example.test",
        "timezone": zone,
        "locale": locale,
        "country": country,
        "plan": plan,
        "monthly_price": price,
        "team_size": rng.choices((1, 2, 3, 5, 8), weights=(52, 25, 12, 7, 4))[0] if plan != "starter" else 1,
        "csm": rng.choice(CSMS),
        "tags": ["vip"] if plan == "business" and rng.random() < 0.2 else [],
    }
    if rng.random() < 0.85:
        text = phone.replace("{area}", _AREAS.get(zone, ""))
        traits["phone"] = re.sub("#", lambda _: str(rng.randrange(10)), text)
    return traits


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
