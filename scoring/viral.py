"""What referrals add to health: the viral boost, beside the score and never in it."""

from __future__ import annotations

from scoring.health import Signals, read_number

BOOST_PER_REFERRAL = 3
REFERRALS_MOST = 15
BOOST_RECENT = 5


def viral_boost(signals: Signals) -> int:
    """3 for each referral, at most 15, and 5 for viral activity in the last 30 days: 0 to 20."""
    referrals = max(0.0, read_number(signals, "referrals", 0))
    # Held first, so that a huge number is no matter.
    boost = int(min(REFERRALS_MOST, BOOST_PER_REFERRAL * referrals))
    return boost + (BOOST_RECENT if signals.get("recent_viral_activity") is True else 0)


def enhance_score(score: int, signals: Signals) -> int:
    """The score with the viral boost, at most 100."""
    return min(100, score + viral_boost(signals))
