"""The scorer of the health model that is live."""

from __future__ import annotations

from collections import OrderedDict

from scoring.health import Scorer
from store.database import Connection
from store.health_models import load_active_model

_KEPT = 8
# By digest, so that one process compiles a model once.
_scorers: OrderedDict[str, Scorer] = OrderedDict()


async def load_scorer(connection: Connection) -> Scorer:
    """The scorer of the model that the live policy names."""
    model = await load_active_model(connection)
    scorer = _scorers.get(model.digest)
    if scorer is None:
        scorer = _scorers[model.digest] = Scorer(model)
        while len(_scorers) > _KEPT:
            _scorers.popitem(last=False)
    return scorer
