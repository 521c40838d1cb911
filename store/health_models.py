"""The health models that are published, and which of them scores."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.health_model import DEFAULT_MODEL, HealthModel
from schemas.shipped_health import shipped_models
from store.asking import Source, fetch
from store.database import encode

# Of `governance`: {"digests": {name: digest}, "models": {name: model}}.
_ROW = "health"
# By digest, whatever the database: two models of one digest are one model.
_KEPT = 32
_read: OrderedDict[str, HealthModel] = OrderedDict()

_ACTIVE = text(
    "WITH named AS (SELECT coalesce((SELECT value->>'health_model' FROM governance WHERE name = 'policy'), :default) AS name) "
    "SELECT named.name, (SELECT value->'digests'->>named.name FROM governance WHERE name = 'health') AS digest FROM named"
)
_WRITE = text(
    "INSERT INTO governance (name, value, updated_at) VALUES (:name, CAST(:value AS jsonb), :now) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
)


async def publish_models(
    connection: AsyncConnection,
    models: Mapping[str, HealthModel],
    now: datetime,
    *,
    broken: Collection[str] = frozenset(),
    whole: bool = True,
) -> list[str]:
    """Make these models live; returns the names of those that changed, were added or taken away.

    `broken` names files that have errors: what was live under their names stays. `whole`: what isn't among the models is
    gone, unless the policy names it and none of that name ships.
    """
    changed, after = await _compare(connection, models, broken, whole=whole)
    if changed:
        value = {
            "digests": {name: model.digest for name, model in after.items()},
            "models": {name: model.model_dump(mode="json") for name, model in after.items()},
        }
        await connection.execute(_WRITE, {"name": _ROW, "value": encode(value), "now": now})
    return changed


async def compare_models(
    connection: AsyncConnection,
    models: Mapping[str, HealthModel],
    *,
    broken: Collection[str] = frozenset(),
    whole: bool = True,
) -> list[str]:
    """What `publish_models` would return now; writes nothing."""
    return (await _compare(connection, models, broken, whole=whole))[0]


async def _compare(
    connection: AsyncConnection, models: Mapping[str, HealthModel], broken: Collection[str], *, whole: bool
) -> tuple[list[str], dict[str, HealthModel]]:
    before = await load_models(connection)
    stays = {name for name in before if not whole or name in broken}
    if whole:
        stays |= {await _active_name(connection)} & before.keys() - shipped_models().keys()
    after = {name: model for name, model in before.items() if name in stays} | dict(models)
    # What ships is there without a file, so that a copy of it changes nothing.
    known = shipped_models()
    old, new = ({**known, **one} for one in (before, after))
    changed = sorted(name for name in {*old, *new} if not _is_same(old.get(name), new.get(name)))
    return changed, after


def _is_same(one: HealthModel | None, other: HealthModel | None) -> bool:
    return one is not None and other is not None and one.digest == other.digest


async def load_models(connection: AsyncConnection) -> dict[str, HealthModel]:
    """The models that were published, by name; those that ship are there without it."""
    value = await connection.execute(text("SELECT value FROM governance WHERE name = :name"), {"name": _ROW})
    found = value.scalar() or {"models": {}}
    return {name: HealthModel.model_validate(model) for name, model in found["models"].items()}


async def load_active_model(connection: AsyncConnection) -> HealthModel:
    """The model that the live policy names: as it was published, else as it ships, else the default."""
    name, digest = (await connection.execute(_ACTIVE, {"default": DEFAULT_MODEL})).one()
    return await load_model(connection, name, digest)


async def load_model(source: Source, name: str, digest: str | None) -> HealthModel:
    """The model of this name, published under this digest (None: it wasn't; what ships, else the default)."""
    if digest is None:
        shipped = shipped_models()
        return shipped.get(name, shipped[DEFAULT_MODEL])
    model = _read.get(digest)
    if model is None:
        [(digest, value)] = await fetch(
            source,
            "SELECT value->'digests'->>CAST(%(model)s AS text), value->'models'->CAST(%(model)s AS text) "
            "FROM governance WHERE name = %(name)s",
            {"name": _ROW, "model": name},
        )
        # Another one of this name may have been published meanwhile.
        model = _read[str(digest)] = HealthModel.model_validate(value)
        while len(_read) > _KEPT:
            _read.popitem(last=False)
    return model


async def _active_name(connection: AsyncConnection) -> str:
    return str((await connection.execute(_ACTIVE, {"default": DEFAULT_MODEL})).one()[0])
