"""The tables that the code knows, the tables that migrations make, and the catalogue agree."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from schemas.catalogue import load_catalogue
from store.database import driver_url
from store.partitions import PARTITIONED
from store.tables import SIGNAL_COLUMNS, metadata

# Made only where PostgreSQL has pg_trgm, so that nothing may count on them.
OPTIONAL = ("customers_searched_idx",)


def test_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            one
            for one in compare_metadata(context, metadata)
            if not _is_partition(one) and not any(index in str(one) for index in OPTIONAL)
        ]
    engine.dispose()
    assert differences == []


def _is_partition(difference: object) -> bool:
    """Partitions are made month by month and aren't in the code's list."""
    name = str(difference)
    return (any(f"{table}_" in name for table in PARTITIONED) and "remove_table" in name) or (
        "remove_index" in name
        and any(
            f"{table}_2" in name or f"{table}_default" in name
            for table in ("events", "decisions", "customer_health", "churn_predictions")
        )
    )


def test_every_core_signal_that_is_stored_has_a_column_of_its_type() -> None:
    catalogue = load_catalogue()
    stored = {
        name: signal.type
        for name, signal in catalogue.signals.items()
        if signal.core
        and not signal.personal
        and signal.age_of is None
        and name not in ("timezone", "locale")
    }
    assert stored == SIGNAL_COLUMNS
