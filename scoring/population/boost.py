"""What referrals add to the health of many customers; `scoring.viral` says what for one."""

from __future__ import annotations

import numpy as np

from scoring.population.days import NO_SCORE, Scores
from scoring.population.known import Known
from scoring.viral import BOOST_PER_REFERRAL, BOOST_RECENT, REFERRALS_MOST


def enhance_scores(score: Scores, known: Known) -> Scores:
    """The scores with the viral boost, at most 100; NO_SCORE stays."""
    referrals = np.maximum(0.0, known.filled("referrals", 0))
    boost = np.floor(np.minimum(REFERRALS_MOST, BOOST_PER_REFERRAL * referrals))
    recent = known.flags("recent_viral_activity")
    if recent is not None:
        boost = boost + BOOST_RECENT * (recent[0] == 1)
    enhanced = np.minimum(100, score + boost)
    return np.where(score == NO_SCORE, NO_SCORE, enhanced).astype(np.int16)
