"""The scorer of the health model that is live, and what predicts leaving."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import timedelta
from typing import TypeVar

from schemas.catalogue import Catalogue
from schemas.errors import HoldfastError
from schemas.health_model import HealthModel
from schemas.policy import ChurnPolicy
from scoring.features import learnable
from scoring.hazard.artifact import read_hazard
from scoring.hazard.model import HazardModel
from scoring.health import Scorer
from scoring.predictors import Predictors
from store.asking import Source
from store.churn_models import KINDS, load_artifact
from store.database import Connection
from store.health_models import load_active_model, load_model
from store.serving import Serving, read_serving

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)

# A model that learned longer ago than this is no longer sure of itself.
STALE_AFTER = timedelta(days=45)
_KEPT = 8
# By digest, so that one process compiles a model once.
_scorers: OrderedDict[str, Scorer] = OrderedDict()
# By what serves: versions, the policy's word, the catalogue. Artifacts by version (None: it can't be read here).
_predictors: OrderedDict[tuple[object, ...], Predictors] = OrderedDict()
_artifacts: OrderedDict[tuple[str, str, Catalogue], HazardModel | None] = OrderedDict()


async def load_scorer(connection: Connection) -> Scorer:
    """The scorer of the model that the live policy names."""
    return _scorer_of(await load_active_model(connection))


async def find_scorer(source: Source, name: str, digest: str | None) -> Scorer:
    """The scorer of the model of this name, published under this digest (None: it wasn't); known ones aren't read."""
    return _scorer_of(await load_model(source, name, digest))


def _scorer_of(model: HealthModel) -> Scorer:
    scorer = _scorers.get(model.digest)
    if scorer is None:
        scorer = _keep(_scorers, model.digest, Scorer(model))
    return scorer


async def load_predictors(connection: Connection, catalogue: Catalogue) -> Predictors:
    """What predicts leaving now: the champions that can be read, by the live policy; one cheap look if nothing changed.

    An artifact that can't be read, or has learned from what it mustn't know any more, is logged and passed over.
    """
    return await find_predictors(connection, await read_serving(connection), catalogue)


async def find_predictors(source: Source, serving: Serving, catalogue: Catalogue) -> Predictors:
    """As `load_predictors`, of what serves as it was read already."""
    trained = serving.champions.get("model")
    stale = trained is not None and serving.now - trained[1] > STALE_AFTER
    key = (tuple(sorted(serving.champions.items())), repr(serving.churn_policy), stale, catalogue)
    found = _predictors.get(key)
    if found is None:
        models = await _read_models(source, serving, catalogue)
        policy = ChurnPolicy.model_validate(serving.churn_policy or {})
        found = Predictors(models.get("model"), models.get("health"), policy, stale)
        _keep(_predictors, key, found)
    return found


async def _read_models(
    source: Source, serving: Serving, catalogue: Catalogue
) -> dict[str, HazardModel | None]:
    wanted = {kind: (kind, version, catalogue) for kind, (version, _) in serving.champions.items()}
    if any(key not in _artifacts for key in wanted.values()):
        allowed = [signal.name for signal in learnable(catalogue)]
        for kind in KINDS:
            key = wanted.get(kind)
            if key is None or key in _artifacts:
                continue
            version = key[1]
            model: HazardModel | None = None
            try:
                # By its version: another one may have become champion meanwhile.
                artifact = await load_artifact(source, kind, version)
                model = read_hazard(artifact.encode(), f"churn model {version}", allowed=allowed)
            except HoldfastError as error:
                log.warning("churn model %s (%s) can't serve: %s", version, kind, error)
            _keep(_artifacts, key, model)
    return {kind: _artifacts.get(key) for kind, key in wanted.items()}


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> V:
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return value
